"""What a scenario expects of a stack, and whether that was met."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from poolkeeper.drill.figures import Figures

# A load generator that was so far (milliseconds) behind its schedule has measured itself.
_BEHIND = 500
# The two that a pool of poolkeeper opens at a time, and as many of what looks at the server apart from it.
_CONNECTS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation: what it is about, what was measured, what it had to be."""

    what: str
    measured: str
    wanted: str
    holds: bool

    def __str__(self) -> str:
        return f"{self.what}: {self.measured}, {self.wanted} expected"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Good where every check holds. `reason` names those that do not."""

    checks: tuple[Check, ...]

    @property
    def good(self) -> bool:
        return all(check.holds for check in self.checks)

    @property
    def reason(self) -> str:
        return "; ".join(str(check) for check in self.checks if not check.holds)


def judge(figures: Figures, checks: Iterable[Check]) -> Verdict:
    """The checks of a scenario, and those that no stack is let off: no wrong result, and a load that was on time."""
    books = () if figures.wrong is None else (at_most("wrong results", figures.wrong, 0),)
    return Verdict((*books, at_most("load behind its schedule", figures.behind_ms, _BEHIND, "ms"), *checks))


def at_most(what: str, measured: float | None, limit: float, unit: str = "") -> Check:
    """None has no end, and is more than any limit."""
    if measured is None:
        return Check(what, "without end", _shown(f"at most {limit:g}", unit), holds=False)
    return Check(what, _shown(f"{measured:g}", unit), _shown(f"at most {limit:g}", unit), measured <= limit)


def at_least(what: str, measured: float, limit: float, unit: str = "") -> Check:
    return Check(what, _shown(f"{measured:g}", unit), _shown(f"at least {limit:g}", unit), measured >= limit)


def none_failed(figures: Figures) -> Check:
    """Neither an error, nor an answer that came too late."""
    return at_most("failed requests", figures.failed, 0)


def none_refused(figures: Figures) -> Check:
    return at_most("refused requests", figures.refused, 0)


def served(figures: Figures) -> Check:
    """A stack that answers nobody has not passed."""
    return at_least("successes", figures.ok, 1)


def no_storm(figures: Figures) -> Iterable[Check]:
    """One process does not run down a server that gets well; where encryption hides its connects, nobody knows."""
    if figures.connects_at_once is not None:
        yield at_most("connects under way at once", figures.connects_at_once, _CONNECTS_AT_ONCE)


def named(figures: Figures, cause: str) -> Check:
    """The service says why it is in trouble, to whoever asks."""
    return Check("named cause", ", ".join(figures.causes) or "none", cause, cause in figures.causes)


def nothing_left(figures: Figures) -> Iterable[Check]:
    """No connection on the server after the service has ended, and none missing in the pool before."""
    yield at_most("connections left on the server", figures.backends_left, 0)
    if figures.slots_left is not None:
        yield at_least("slots left in the pool", figures.slots_left, figures.slots)


def _shown(number: str, unit: str) -> str:
    return f"{number} {unit}" if unit else number
