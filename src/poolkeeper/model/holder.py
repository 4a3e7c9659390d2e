"""Who has a connection checked out, and what for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """How far a request is: its response not begun, under way, or sent. What runs after that is in the background."""

    HANDLING = "handling"
    RESPONDING = "responding"
    RESPONDED = "responded"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a connection checked out. What is not known is None.

    `route` is the method and path template of the request ("GET /orders/{order_id}"), or None outside requests, `phase`
    how far that request is. `seconds` counts from the checkout, which was made at `site` ("orders/shop.py:42 in
    place_order"). `in_sql` says whether an answer of the database is awaited, or not, since `state_seconds`.
    `statement` is the shape of the statement under way, or of the last one, without any value, `statements` how many
    there were, and `streams` says that rows are fetched bit by bit. `backend` is the id of the server's session.
    `finished` says that the task has ended without giving the connection back; `waits_at` is where the same task waits
    for another connection. `awaiting` tells what the task awaits, from the outside in. `id` is that of the checkout:
    no other in this process has it, before or after; 0 where checkouts are not numbered.
    """

    task: str
    route: str | None
    seconds: float
    site: str | None = None
    statement: str | None = None
    statements: int | None = None
    in_sql: bool | None = None
    state_seconds: float | None = None
    in_transaction: bool | None = None
    streams: bool = False
    backend: int | None = None
    phase: Phase | None = None
    finished: bool = False
    waits_at: str | None = None
    awaiting: tuple[str, ...] = ()
    id: int = 0

    def __str__(self) -> str:
        where = f" from {self.site}" if self.site else ""
        return f"{self.route or self.task} for {self.seconds:.3f} s{where}"
