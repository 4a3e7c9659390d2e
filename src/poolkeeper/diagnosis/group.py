"""Holders in the same plight."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from poolkeeper.diagnosis.plight import Held
from poolkeeper.diagnosis.words import awaited_by, commonest, cut, duration, name_of, number, place_of
from poolkeeper.model import Confidence, Finding, Severity


@dataclass(frozen=True, slots=True)
class Group:
    """Holders in one plight, the longest first, out of so many connections `in_use`."""

    members: tuple[Held, ...]
    in_use: int
    severity: Severity

    @property
    def share(self) -> float:
        return len(self.members) / self.in_use

    @property
    def longest(self) -> float:
        """Seconds."""
        return max(held.seconds for held in self.members)

    @property
    def typical(self) -> Held:
        """The longest of those that share their route and call site with most others."""
        where = Counter((held.holder.route, held.holder.site) for held in self.members).most_common(1)[0][0]
        return next(held for held in self.members if (held.holder.route, held.holder.site) == where)

    @property
    def subject(self) -> str:
        """Its route, or else where it checked out."""
        holder = self.typical.holder
        return holder.route or (cut(holder.site) if holder.site else name_of(holder))

    @property
    def place(self) -> str:
        return place_of(self.typical.holder)

    @property
    def statement(self) -> str | None:
        """The shape that is most common among them."""
        return commonest(held.holder.statement for held in self.members)

    @property
    def awaited(self) -> str | None:
        """The call that most of them await."""
        return commonest(awaited_by(held.holder) for held in self.members)

    @property
    def counted(self) -> str:
        """How many of how many, and for how long at most."""
        of = "" if self.in_use == len(self.members) == 1 else f" of {self.in_use}"
        noun = number(self.in_use, "connection").partition(" ")[2]
        longest = duration(self.longest)
        return f"{len(self.members)}{of} {noun} (longest {longest})" if of else f"1 connection ({longest})"

    def share_of(self, statement: str | None) -> float:
        """The share of the group whose statement this is."""
        return sum(held.holder.statement == statement for held in self.members) / len(self.members)

    def figures(self, **more: float | str | None) -> dict[str, float | str]:
        """What its findings rest on."""
        holder = self.typical.holder
        figures: dict[str, float | str | None] = {
            "connections": len(self.members),
            "in_use": self.in_use,
            "longest_seconds": round(self.longest, 3),
            "route": holder.route,
            "site": holder.site,
            **more,
        }
        return {name: value for name, value in figures.items() if value is not None}

    def finding(
        self,
        code: str,
        seen: str,
        why: str,
        fix: str,
        confidence: Confidence,
        *,
        unseen: tuple[str, ...] = (),
        **more: float | str | None,
    ) -> Finding:
        """The finding about them; `more` are figures besides theirs."""
        return Finding(
            code=code,
            severity=self.severity,
            subject=self.subject,
            seen=cut(seen),
            why=why,
            fix=fix,
            confidence=confidence,
            figures=self.figures(**more),
            unseen=unseen,
        )
