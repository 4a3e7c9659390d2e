"""Whether a statement only reads, as far as its text tells.

What a function called by a SELECT does (nextval, one of the user's own) cannot be seen here; a READ ONLY transaction or
a replica refuses that on the server.
"""

from __future__ import annotations

import re
from functools import lru_cache

# Strings, quoted names, dollar quotes and comments can hold any word; they are cut out before looking for keywords.
_QUIET = r"""
      {string} | "[^"]*" | `[^`]*`
    | (?P<dollar>\$(?:[A-Za-z_]\w*)?\$) .*? (?P=dollar)
    | --[^\n]* | {comment} /\*(?![!M]).*?\*/
"""
# Whether a backslash escapes depends on the server, its settings and the string. A statement has to be a plain read
# both ways, or a crafted string could hide a write in one of them. (A doubled quote reads as two strings in a row.)
_READINGS = tuple(
    re.compile(_QUIET.format(string=string, comment=comment), re.VERBOSE | re.DOTALL)
    for string, comment in ((r"'[^']*'", ""), (r"'(?:[^'\\]|\\.)*'", r"\#[^\n]* |"))
)
# MySQL runs what stands inside /*! ... */ and MariaDB what stands inside /*M! ... */: those are code, not comments.
_EXECUTED_COMMENT = re.compile(r"/\*M?!\d*|\*/")
_READS = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "PRAGMA"})
_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE|MERGE|INTO)\b")
_LOCKS = re.compile(r"\b(FOR\s+(?:NO\s+KEY\s+)?UPDATE|FOR\s+(?:KEY\s+)?SHARE|LOCK\s+IN\s+SHARE\s+MODE)\b")
_EXPLAIN = re.compile(r"^\s*EXPLAIN\b\s*(?:\([^)]*\)|(?:\s*\b(?:ANALYZE|VERBOSE|FORMAT\s*=?\s*\w+)\b)*)")
_FIRST_WORD = re.compile(r"[\s(]*([A-Z]+)")
_SECOND_STATEMENT = re.compile(r";\s*\S")


@lru_cache(maxsize=4096)
def why_not_read(statement: str) -> str | None:
    """Why this statement is not a plain read, or None when it is one."""
    for quiet in _READINGS:
        words = _EXECUTED_COMMENT.sub(" ", quiet.sub(" ", statement)).upper()
        if reason := _why_not_read(words):
            return reason
    return None


def _why_not_read(words: str) -> str | None:
    first = _FIRST_WORD.match(_EXPLAIN.sub("", words)) or _FIRST_WORD.match(words)
    if first is None:
        return "it begins with no keyword"
    if first[1] not in _READS:
        return f"it begins with {first[1]}"
    if _SECOND_STATEMENT.search(words):
        return "it holds more than one statement"
    if lock := _LOCKS.search(words):
        return f"it locks rows ({' '.join(lock[1].split())})"
    if write := _WRITES.search(words):
        return f"it contains {write[1]}"
    return "it sets a PRAGMA" if first[1] == "PRAGMA" and "=" in words else None
