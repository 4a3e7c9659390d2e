"""How settings are called, and what a misspelt one was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

ENVIRONMENT_PREFIX = "DATABASE_"


def environment_name(field: str, prefix: str = ENVIRONMENT_PREFIX) -> str:
    """The environment variable of a setting."""
    return f"{prefix}{field}".upper()


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one was probably meant to be."""
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=0.8)), None)
