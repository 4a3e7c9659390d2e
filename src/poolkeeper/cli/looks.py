"""What `poolkeeper explain` has seen, whatever it looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from poolkeeper.model import Finding, errors_in

NOTHING_FOUND = "Nothing is wrong."


class LookFailed(Exception):  # noqa: N818 - says what happened, as errors.py does
    """There was nothing to look at. The message has no secrets."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look: paragraphs for people, `data` for programs, and what was found to be wrong."""

    paragraphs: tuple[str, ...]
    findings: tuple[Finding, ...]
    data: Mapping[str, object]

    @property
    def exit_code(self) -> int:
        """1 where something is wrong."""
        return 1 if errors_in(self.findings) else 0


class Sight(Protocol):
    """Something that can be looked at again and again."""

    def look(self) -> Look:
        """What is there now. Raises `LookFailed`."""
        ...

    def close(self) -> None: ...
