"""Retries stay few: in an outage everything is tried again."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case

_LARGEST_BUDGET = 0.5
_MOST_ATTEMPTS = 10


def check(case: Case) -> Iterator[Finding]:
    settings = case.settings
    if settings.retry_budget > _LARGEST_BUDGET and settings.retry_attempts > 1:
        yield Finding(
            "retry-budget-large",
            Severity.WARNING,
            "retry_budget",
            f"retry_budget is {settings.retry_budget:g}",
            "a database in trouble would get nearly twice the load, and take longer to recover",
            f"Lower retry_budget to {_LARGEST_BUDGET:g} or less; 0.2 is the default",
        )
    if settings.retry_attempts > _MOST_ATTEMPTS:
        yield Finding(
            "retry-attempts-many",
            Severity.WARNING,
            "retry_attempts",
            f"retry_attempts is {settings.retry_attempts}",
            "a transaction that fails so often meets more than chance, and its callers wait all the time",
            f"Lower retry_attempts to {_MOST_ATTEMPTS} or less, and find out what it conflicts with",
        )
