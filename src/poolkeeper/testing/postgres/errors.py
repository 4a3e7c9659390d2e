"""What goes wrong when a server is run, as one type with one clear message."""

from __future__ import annotations

from pathlib import Path

LOG_LINES = 20


class EmbeddedPostgresError(RuntimeError):
    """PostgreSQL could not be found, started, stopped or asked. The message ends with the last lines of its log."""


def failed(what: str, log: Path | None = None) -> EmbeddedPostgresError:
    """The error for `what`, with the end of the server's log where there is one."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:] if log else []
    except OSError:
        lines = []
    tail = "".join(f"\n  {line}" for line in lines)
    return EmbeddedPostgresError(f"{what}\nlast lines of the server log:{tail}" if tail else what)
