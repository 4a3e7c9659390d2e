"""Whether a statement only reads, as far as its text tells.

What a function called by a SELECT does (nextval, one of the user's own) cannot be seen here; a READ ONLY transaction or
a replica refuses that on the server.
"""

from __future__ import annotations

import re
from functools import lru_cache

# Strings, quoted names, dollar quotes and comments can hold any word; they are cut out before looking for keywords.
# (A doubled quote reads as two strings in a row.)
_PLAIN = r"'[^']*'"
_ESCAPED = r"'(?:[^'\\]|\\.)*'"
_E_STRING = rf"(?<![\w$])[eE]{_ESCAPED}(?:\s*\n\s*{_ESCAPED})*"
_DOLLAR = r"(?<![\w$])(?P<dollar>\$(?:[^\W\d]\w*)?\$).*?(?P=dollar)"
# PostgreSQL nests comments and nobody else does: a comment inside a comment is left to be seen, and refused.
_COMMENT = r"/\*(?:(?!/\*).)*?\*/"
# MySQL runs what stands inside /*! ... */ and MariaDB what stands inside /*M! ... */, where the version is right.
_NOT_EXECUTED = r"/\*(?!M?!)(?:(?!/\*).)*?\*/"
_EXECUTED = re.compile(r"/\*M?!\d*|\*/")
_POSTGRESQL = (r'"[^"]*"', "`[^`]*`", r"--[^\n]*", _DOLLAR, _COMMENT)
_SQLITE = (r'"[^"]*"', "`[^`]*`", r"\[[^\]]*\]", r"--[^\n]*", _COMMENT)
_MYSQL = ("`[^`]*`", r"\#[^\n]*", r"--(?=\s|\Z)[^\n]*")
# Where a string or a comment ends depends on the server and its settings. A statement has to be a plain read for all
# of them, or a crafted string could hide a write from one.
_READINGS = tuple(
    re.compile("|".join(quiet), re.DOTALL)
    for quiet in (
        (_E_STRING, _PLAIN, *_POSTGRESQL),
        (_ESCAPED, *_POSTGRESQL),
        (_PLAIN, *_SQLITE),
        *(
            (string, string.replace("'", '"'), *_MYSQL, comment)
            for string in (_PLAIN, _ESCAPED)
            for comment in (_COMMENT, _NOT_EXECUTED)
        ),
    )
)
_READS = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "PRAGMA"})
_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE|MERGE|INTO)\b")
_LOCKS = re.compile(r"\b(FOR\s+(?:NO\s+KEY\s+)?UPDATE|FOR\s+(?:KEY\s+)?SHARE|LOCK\s+IN\s+SHARE\s+MODE)\b")
_EXPLAIN = re.compile(r"^\s*EXPLAIN\b\s*(?:\([^)]*\)|(?:\s*\b(?:ANALYZE|VERBOSE|FORMAT\s*=?\s*\w+)\b)*)")
_FIRST_WORD = re.compile(r"[\s(]*([A-Z]+)")
_SECOND_STATEMENT = re.compile(r";\s*\S")
_HARMLESS_PRAGMA = re.compile(
    r"\s*PRAGMA\s+(?:\w+\s*\.\s*)?(?:\w+_(?:X?INFO|LIST|CHECK)\b[^=]*$|(?!OPTIMIZE|INCR|WAL_C)\w+[\s;]*$)"
)


@lru_cache(maxsize=4096)
def why_not_read(statement: str) -> str | None:
    """Why this statement is not a plain read, or None when it is one."""
    for quiet in _READINGS:
        words = _EXECUTED.sub(" ", quiet.sub(" ", statement)).upper()
        if reason := _why_not_read(words):
            return reason
    return None


def _why_not_read(words: str) -> str | None:
    first = _FIRST_WORD.match(_EXPLAIN.sub("", words)) or _FIRST_WORD.match(words)
    if first is None:
        return "it begins with no keyword"
    if first[1] not in _READS:
        return f"it begins with {first[1]}"
    if "/*" in words:
        return "it nests comments, or leaves one open"
    if _SECOND_STATEMENT.search(words):
        return "it holds more than one statement"
    if lock := _LOCKS.search(words):
        return f"it locks rows ({' '.join(lock[1].split())})"
    if write := _WRITES.search(words):
        return f"it contains {write[1]}"
    return "it sets a PRAGMA" if first[1] == "PRAGMA" and not _HARMLESS_PRAGMA.match(words) else None
