"""The error that stops a service whose settings are wrong."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.model import Finding


class SettingsRefused(Exception):  # noqa: N818 - it says what happened
    """The settings are wrong; `findings` holds every problem at once, each with the value seen, the rule and the fix.

    Secrets are masked in all of them. Not a ValueError, because pydantic would wrap that and repeat the input.
    """

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__(self.findings)

    def __str__(self) -> str:
        count = len(self.findings)
        head = "1 setting is refused" if count == 1 else f"{count} settings are refused"
        return "\n".join([head, *(f"  {number}. {finding}" for number, finding in enumerate(self.findings, 1))])
