"""What MySQL and MariaDB do where nobody configured them otherwise."""

from __future__ import annotations

from datetime import date

from poolkeeper.facts.fact import Fact

_DOCS = date(2026, 11, 20)

MAX_CONNECTIONS = Fact(151, "general knowledge of MySQL's and MariaDB's max_connections default, not verified", _DOCS)
WAIT_TIMEOUT = Fact(28800, "MariaDB documentation, wait_timeout default; for MySQL not verified", _DOCS)
IDLE_TRANSACTION_TIMEOUT = Fact(0, "MariaDB documentation, idle_transaction_timeout default: off", _DOCS)
