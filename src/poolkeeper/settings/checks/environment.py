"""Environment variables with our prefix are spelt as we read them."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.model import Finding, Severity
from poolkeeper.model.names import closest, environment_name
from poolkeeper.settings.checks.case import Case


def check(case: Case) -> Iterator[Finding]:
    prefix = case.prefix.upper()
    known = [environment_name(name, case.prefix) for name in case.settings.origins]
    for name in sorted(case.environ):
        spelt = name.upper()
        if not spelt.startswith(prefix) or spelt in known:
            continue
        # Other tools have variables with this prefix too: only what is nearly one of ours is worth a word.
        if guess := closest(spelt.removeprefix(prefix).lower(), case.settings.origins):
            yield Finding(
                "variable-misspelt",
                Severity.WARNING,
                name,
                f"{name} is set, and nothing reads it",
                "another value is in force than you may think",
                f"Write {environment_name(guess, prefix)}, if that was meant",
            )
