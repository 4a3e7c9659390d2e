"""One piece of advice, the same everywhere: settings, health, diagnosis, plan and drill all speak it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum

_ALWAYS = frozenset({"code", "severity", "subject", "seen", "why", "fix", "source"})


class Severity(StrEnum):
    """How a finding acts: an error refuses to start, a warning is logged once, an info is only shown."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Confidence(StrEnum):
    """How sure a finding is: it was seen itself, everything points to it, or nothing speaks against it."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen, why it matters and what to do about it.

    `code` names the bad pattern in kebab case ("pre-ping-off"), `subject` the setting or object it is about.
    `source` says where a number or a rule comes from; it is empty where the finding needs none. A diagnosis adds how
    sure it is, the `figures` it used, and in `unseen` what it could not see that might speak against it.
    """

    code: str
    severity: Severity
    subject: str
    seen: str
    why: str
    fix: str
    source: str = ""
    confidence: Confidence | None = None
    figures: Mapping[str, float | str] = field(default_factory=dict[str, "float | str"])
    unseen: tuple[str, ...] = ()

    def __str__(self) -> str:
        origin = f" [{self.source}]" if self.source else ""
        return f"{self.severity}: {self.code} ({self.subject}): {self.seen}. {self.why}. {self.fix}.{origin}"

    def as_dict(self) -> dict[str, object]:
        """The finding as plain values, for JSON."""
        return {key: value for key, value in asdict(self).items() if value or key in _ALWAYS}


def errors_in(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings that refuse to start."""
    return tuple(finding for finding in findings if finding.severity is Severity.ERROR)
