"""A number and why it is that one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reasoned(Generic[T]):
    """A value with the formula it comes from, its numbers filled in; whose formula that is; and why it was chosen."""

    value: T
    formula: str
    source: str
    reason: str

    def as_dict(self) -> dict[str, object]:
        """The value and its reasons as plain values, for JSON."""
        return {"value": self.value, "formula": self.formula, "source": self.source, "reason": self.reason}
