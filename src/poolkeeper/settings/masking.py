"""Hiding secrets. Whatever is shown, logged or raised goes through here first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeGuard

MASK = "***"
LONGEST_ECHO = 80
LONGEST_READ = 1000

_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|cred|auth|cert", re.IGNORECASE)
_USERINFO = re.compile(r"(://[^:/@\s'\"]*:)[^\s'\"]*@")
_ASSIGNMENT = re.compile(
    r"((?:pass|pwd|secret|token|key|cred)[\w.-]{0,40}['\"]?\s{0,4}[=:]\s{0,4})(?:'[^']*'|\"[^\"]*\"|[^\s,;&'\"}]+)",
    re.IGNORECASE,
)


def is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    """`isinstance` that leaves no unknown type behind."""
    return isinstance(value, Mapping)


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)


def is_secret_name(name: str) -> bool:
    """Whether an option with this name may hold a secret, or show where one is kept."""
    return _SECRET_NAME.search(name) is not None


def masked_text(text: str) -> str:
    """The text without the passwords of URLs and of `password=...` pairs."""
    return _ASSIGNMENT.sub(rf"\1{MASK}", _USERINFO.sub(rf"\1{MASK}@", text))


def masked(name: str, value: object) -> object:
    """An option's value as it may be shown, containers looked through, unknown objects by their type only."""
    if is_secret_name(name) and not isinstance(value, bool | None):
        return MASK
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, str):
        return masked_text(value)
    if is_mapping(value):
        return masked_options({str(key): item for key, item in value.items()})
    if _is_list(value):
        return [masked(name, item) for item in value]
    return f"<{type(value).__name__}>"


def masked_options(options: Mapping[str, object]) -> dict[str, object]:
    """Driver or engine options as they may be shown."""
    return {name: masked(name, value) for name, value in options.items()}


def echo(value: object) -> str:
    """A value that somebody gave, for an error message: masked, and no longer than a line."""
    text = masked_text(repr(masked("", value[:LONGEST_READ] if isinstance(value, str) else value)))
    return text if len(text) <= LONGEST_ECHO else f"{text[:LONGEST_ECHO]}..."
