"""Only what is out of the ordinary is worth a line of the log."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case


def check(case: Case) -> Iterator[Finding]:
    slow, usual = case.settings.slow_hold, case.settings.expected_hold
    if slow is not None and slow <= usual:
        yield Finding(
            "slow-hold-is-usual",
            Severity.WARNING,
            "slow_hold",
            f"slow_hold is {slow:g} s, expected_hold {usual:g} s",
            "connections that are held as long as usual would be told of in the log",
            "Raise slow_hold well above expected_hold, or correct expected_hold",
        )
