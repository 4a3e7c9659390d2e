"""Statements without what they are about."""

from __future__ import annotations

import re

_LONGEST = 200
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_PLACEHOLDER = re.compile(r"%\(\w+\)s|%s|(?<!:):[A-Za-z_]\w*|\$\d+(?:::\w+)?")
_LITERAL = re.compile(
    r"""
      \$(?P<tag>[A-Za-z_]\w*|)\$.*?(?:\$(?P=tag)\$|\Z)     # PostgreSQL's dollar quotes
    | [eEnNxXbB]?'(?:[^'\\]|''|\\.)*(?:'|\Z)
    | (?<!\$)\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b
    """,
    re.VERBOSE | re.DOTALL,
)
_DOUBLE_QUOTED = re.compile(r'"(?:[^"\\]|""|\\.)*(?:"|\Z)', re.DOTALL)
_LIST = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")
_SPACE = re.compile(r"\s+")


def shape_of(statement: str, *, strings_in_double_quotes: bool = False) -> str:
    """The statement without comments and values, on one line of at most 200 characters.

    Values written into the text may be secrets, and all statements of one line of code are to look the same. What is
    in double quotes is a name, but with `strings_in_double_quotes` (MySQL) a value.
    """
    text = _PLACEHOLDER.sub("?", _LITERAL.sub("?", _COMMENT.sub(" ", statement[: 20 * _LONGEST])))
    if strings_in_double_quotes:
        text = _DOUBLE_QUOTED.sub("?", text)
    text = _SPACE.sub(" ", _LIST.sub("(?, ...)", text)).strip()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
