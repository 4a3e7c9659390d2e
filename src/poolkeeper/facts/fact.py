"""A number or a rule that somebody else decided, with where it was read and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """`value` as `source` stated it in `as_of` (year and month)."""

    value: T
    source: str
    as_of: str
