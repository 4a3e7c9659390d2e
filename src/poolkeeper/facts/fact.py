"""One thing we believe about the world outside, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """A value, where it comes from, and when it was last looked at.

    `source` names a document, a source file or a measurement, and says so where nobody has verified the value.
    """

    value: T
    source: str
    as_of: date

    def __str__(self) -> str:
        return f"{self.value} ({self.source}, {self.as_of.isoformat()})"
