"""The name a connection bears on its server."""

from __future__ import annotations

_MAX_BYTES = 63


def fitting(application_name: str) -> str:
    """`application_name` cut to 63 bytes, what PostgreSQL keeps (NAMEDATALEN - 1), never inside a character."""
    return application_name.encode()[:_MAX_BYTES].decode(errors="ignore")
