"""One piece of advice, the same everywhere: settings, health, diagnosis, plan and drill all speak it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How a finding acts: an error refuses to start, a warning is logged once, an info is only shown."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen, why it matters and what to do about it.

    `code` names the bad pattern in kebab case ("pre-ping-off"), `subject` the setting or object it is about.
    `source` says where a number or a rule comes from; it is empty where the finding needs none.
    """

    code: str
    severity: Severity
    subject: str
    seen: str
    why: str
    fix: str
    source: str = ""

    def __str__(self) -> str:
        origin = f" [{self.source}]" if self.source else ""
        return f"{self.severity}: {self.code} ({self.subject}): {self.seen}. {self.why}. {self.fix}.{origin}"

    def as_dict(self) -> dict[str, str]:
        """The finding as plain strings, for JSON."""
        return {key: str(value) for key, value in asdict(self).items()}


def errors_in(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings that refuse to start."""
    return tuple(finding for finding in findings if finding.severity is Severity.ERROR)
