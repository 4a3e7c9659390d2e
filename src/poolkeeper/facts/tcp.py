"""What TCP does where nobody configured it otherwise."""

from __future__ import annotations

from datetime import date

from poolkeeper.facts.fact import Fact

SYSTEM_KEEPALIVE = Fact(7200, "Linux tcp(7) manual page, tcp_keepalive_time default", date(2026, 11, 20))
