"""The error of input that is wrong, whatever it was for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from poolkeeper.model.finding import Finding


class Refused(Exception):  # noqa: N818 - it says what happened
    """Input was refused; `findings` holds every problem at once, each with what was seen, the rule and the fix."""

    one: ClassVar[str] = "1 value is refused"
    many: ClassVar[str] = "values are refused"

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__(self.findings)

    def __str__(self) -> str:
        count = len(self.findings)
        head = self.one if count == 1 else f"{count} {self.many}"
        return "\n".join([head, *(f"  {number}. {finding}" for number, finding in enumerate(self.findings, 1))])
