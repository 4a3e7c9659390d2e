"""Each thing is said in one place only."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case


def check(case: Case) -> Iterator[Finding]:
    for name in sorted(case.settings.engine_options):
        if name in case.settings.origins:
            yield Finding(
                "engine-option-is-a-setting",
                Severity.ERROR,
                f"engine_options.{name}",
                f"{name} is given in engine_options",
                "two places for one value would contradict each other, and checks would look at the wrong one",
                f"Use the setting {name}",
            )
