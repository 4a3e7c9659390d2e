"""What PostgreSQL does where nobody configured it otherwise."""

from __future__ import annotations

from datetime import date

from poolkeeper.facts.fact import Fact

_DOCS = date(2026, 11, 20)

MAX_CONNECTIONS = Fact(100, "PostgreSQL documentation, max_connections default", _DOCS)
SUPERUSER_RESERVED_CONNECTIONS = Fact(3, "PostgreSQL documentation, superuser_reserved_connections default", _DOCS)
RESERVED_CONNECTIONS = Fact(0, "PostgreSQL documentation, reserved_connections default (since 16)", _DOCS)
STATEMENT_TIMEOUT = Fact(0, "PostgreSQL documentation, statement_timeout default: off", _DOCS)
IDLE_SESSION_TIMEOUT = Fact(0, "PostgreSQL documentation, idle_session_timeout default: off", _DOCS)
IDLE_IN_TRANSACTION_SESSION_TIMEOUT = Fact(
    0, "PostgreSQL documentation, idle_in_transaction_session_timeout default: off", _DOCS
)
LARGEST_PROCESS_ID = Fact(4_194_304, "Linux, proc(5), pid_max of 64-bit systems; other systems stay below", _DOCS)
TCP_KEEPALIVES_IDLE = Fact(
    0, "PostgreSQL documentation, tcp_keepalives_idle default: the system's, usually 7200 s", _DOCS
)
