"""What is said about a pooler that the settings do not name, or take for another."""

from __future__ import annotations

from poolkeeper.errors import ConnectFailed
from poolkeeper.facts import postgres
from poolkeeper.model import Finding, Severity
from poolkeeper.server import PoolMode
from poolkeeper.settings import EffectiveSettings

# The finding of the settings where an address leaves the mode open.
MODE_UNKNOWN = "pooler-mode-unknown"
_NOT_NAMED = "pooler-not-named"

_SEEN = {
    PoolMode.SESSION: "each of its clients keeps a server connection",
    PoolMode.TRANSACTION: "it gives one client the server connection of another that is still there",
    PoolMode.STATEMENT: "it refuses BEGIN",
}
_WHY = {
    PoolMode.SESSION: "a client keeps its server connection until it leaves: whoever comes when all of the pooler's "
    "default_pool_size are taken waits, however little they do",
    PoolMode.TRANSACTION: "the next transaction may reach another server connection, which has none of the prepared "
    "statements and settings of the last",
    PoolMode.STATEMENT: "no session that writes can begin its transaction",
}
_FIX = {
    PoolMode.SESSION: "Set provider to pgbouncer-session, and keep pool_size times processes within default_pool_size",
    PoolMode.TRANSACTION: "Set provider to pgbouncer-transaction",
    PoolMode.STATEMENT: "Set pool_mode to transaction in the pooler, and provider to pgbouncer-transaction",
}


def not_named(settings: EffectiveSettings, number: int) -> Finding:
    """A pooler where none was named, known by the `number` that it gives a session; its mode is open."""
    return Finding(
        _NOT_NAMED,
        Severity.WARNING,
        "provider",
        f"a pooler answers at {settings.url}: it calls the session {number}, as no server does{_ignored(settings)}",
        f"in transaction mode {_WHY[PoolMode.TRANSACTION]}",
        "Set provider to pgbouncer-transaction or pgbouncer-session",
        postgres.LARGEST_PROCESS_ID.source,
    )


def refuses(settings: EffectiveSettings, failure: ConnectFailed) -> Finding:
    """A pooler that refuses what only a server takes."""
    return Finding(
        "pooler-refuses-parameter",
        Severity.ERROR,
        "provider",
        f"a pooler answers at {settings.url}: {failure.orig}",
        "a pooler shares its server connections: it refuses such a parameter at connect",
        "Set provider to pgbouncer-transaction or pgbouncer-session",
    )


def of_mode(settings: EffectiveSettings, mode: PoolMode) -> Finding | None:
    """What the mode means for these settings; None where they are made for it."""
    if settings.pooler == mode:
        return None
    is_named = settings.pooler != "none"
    expected = f", not in {settings.pooler} mode" if is_named else ""
    return Finding(
        "pooler-mode-differs" if is_named else _NOT_NAMED,
        Severity.WARNING if mode is PoolMode.SESSION else Severity.ERROR,
        "provider",
        f"the pooler at {settings.url} is in {mode} mode{expected}: {_SEEN[mode]}"
        + ("" if is_named else _ignored(settings)),
        _WHY[mode],
        _FIX[mode],
    )


def _ignored(settings: EffectiveSettings) -> str:
    if settings.statement_timeout is None:
        return ""
    return f", and it ignores the statement_timeout of {settings.statement_timeout:g} s"
