"""What the formulas accept: finite numbers in their bounds. Anything else is refused by name, never clipped."""

from __future__ import annotations

import math


class BadNumber(ValueError):  # noqa: N818 - errors are called by what is wrong here
    """A number that no formula can be asked about; the message says which, and what would be one."""


def positive(**numbers: float) -> None:
    """Raise `BadNumber` unless each is a finite number above 0."""
    for name, value in numbers.items():
        if not _is_finite(value) or value <= 0:
            raise BadNumber(f"{name} is {value!r}: a finite number above 0 is needed")


def at_least_zero(**numbers: float) -> None:
    """Raise `BadNumber` unless each is a finite number, 0 or more."""
    for name, value in numbers.items():
        if not _is_finite(value) or value < 0:
            raise BadNumber(f"{name} is {value!r}: a finite number that is not negative is needed")


def share(**numbers: float) -> None:
    """Raise `BadNumber` unless each is at least 0 and below 1."""
    for name, value in numbers.items():
        if not _is_finite(value) or not 0 <= value < 1:
            raise BadNumber(f"{name} is {value!r}: a share is needed, at least 0 and below 1")


def count(least: int = 1, **numbers: int) -> None:
    """Raise `BadNumber` unless each is a whole number, and `least` or more."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadNumber(f"{name} is {value!r}: a whole number is needed, {least} or more")


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
