"""Why connections cannot be opened."""

from __future__ import annotations

from dataclasses import dataclass

from poolkeeper.diagnosis.change import Change
from poolkeeper.diagnosis.words import cut, duration, number
from poolkeeper.model import Confidence, Finding, PoolSnapshot, Severity

_MESSAGE_LENGTH = 90


@dataclass(frozen=True, slots=True)
class Trouble:
    """Connects that failed: `kind` is a `poolkeeper.ConnectFailure`, `is_now` whether the latest did."""

    pool: str
    kind: str
    message: str
    attempts: int
    seconds: float
    is_now: bool
    severity: Severity
    sqlstate: str | None = None

    def says(self, *texts: str) -> bool:
        """Whether the message has one of these texts in it."""
        message = self.message.lower()
        return any(text in message for text in texts)

    @property
    def seen(self) -> str:
        since = f" for {duration(self.seconds)}" if self.seconds > 0 else ""
        failed = f"{number(self.attempts, 'connect')} failed{since}" if self.is_now else "connects failed lately"
        code = f" (SQLSTATE {self.sqlstate})" if self.sqlstate else ""
        return f"{failed}: {self.kind}{code}" + (f": {cut(self.message, _MESSAGE_LENGTH)}" if self.message else "")

    @property
    def figures(self) -> dict[str, float | str]:
        figures: dict[str, float | str] = {
            "kind": self.kind,
            "attempts": self.attempts,
            "seconds": round(self.seconds, 3),
        }
        return figures | ({"sqlstate": self.sqlstate} if self.sqlstate else {})

    def finding(
        self,
        code: str,
        why: str,
        fix: str,
        *,
        more: str = "",
        confidence: Confidence = Confidence.CERTAIN,
        figures: dict[str, float | str] | None = None,
        unseen: tuple[str, ...] = (),
    ) -> Finding:
        """The finding that says so; `more` is seen besides."""
        return Finding(
            code=code,
            severity=self.severity,
            subject=self.pool,
            seen=cut(f"{more}; {self.seen}" if more else self.seen),
            why=why,
            fix=fix,
            confidence=confidence if self.is_now else Confidence.LIKELY,
            figures=self.figures | (figures or {}),
            unseen=unseen if self.is_now else (*unseen, "the error itself: connects succeed again"),
        )


def trouble_of(now: PoolSnapshot, lately: Change, *, waits: bool) -> Trouble | None:
    """What the latest connect failed of, or else what most of the last seconds did; `waits` says that callers wait."""
    if now.connect_trouble is not None:
        trouble = now.connect_trouble
        # Who has connections and can live on them is not stopped by a server that grants no more.
        hurts = waits or now.open == 0 or trouble.kind != "too-many-connections"
        return Trouble(
            now.name,
            trouble.kind,
            trouble.message,
            max(1, trouble.attempts),
            trouble.seconds,
            is_now=True,
            severity=Severity.ERROR if hurts else Severity.WARNING,
            sqlstate=trouble.sqlstate,
        )
    failures = lately.totals.connect_failures
    if not failures:
        return None
    kind = max(failures, key=lambda one: (failures[one], one))
    return Trouble(now.name, kind, "", failures[kind], 0.0, is_now=False, severity=Severity.WARNING)
