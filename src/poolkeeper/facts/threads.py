"""Threads that run blocking endpoints."""

from __future__ import annotations

from datetime import date

from poolkeeper.facts.fact import Fact

THREAD_LIMIT = Fact(40, "anyio documentation, total tokens of the default thread limiter", date(2026, 11, 20))
