"""The reference service with a route whose transaction is as long as its caller says, and what became of each call.

`uvicorn --app-dir bench plan_app:app`, with the folder of the reference service on PYTHONPATH.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from fastapi import Query
from sqlalchemy import text

from orders.database import WriteDB, db
from orders.main import app
from poolkeeper.model import PoolEvent, PoolEventKind
from poolkeeper.pool import KeeperPool

BEGAN, SLEEP = text("SELECT extract(epoch FROM now())::float8"), text("SELECT pg_sleep(:seconds)")


@dataclass
class Call:
    """One call for a connection: moments on the monotonic clock, durations in seconds.

    `reached` is when the transaction began by the server's own account: behind a pooler it waits before for one of the
    server's connections. Who was refused or timed out has no `wait`.
    """

    planned: float
    asked: float = 0.0
    wait: float | None = None
    reached: float | None = None
    returned: float | None = None
    hold: float | None = None


class Trace:
    """Hears the pool, and knows which request is meant by the task that asks."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._held: dict[object, Call] = {}
        self._asking: dict[asyncio.Task[Any] | None, Call] = {}
        self.quiet = asyncio.Event()
        self.quiet.set()

    def begin(self, planned: float) -> Call:
        call = self._asking[asyncio.current_task()] = Call(planned)
        self.calls.append(call)
        self.quiet.clear()
        return call

    def end(self) -> None:
        self._asking.pop(asyncio.current_task(), None)
        self._look()

    def _look(self) -> None:
        if not self._asking and not self._held:
            self.quiet.set()

    def notice(self, event: PoolEvent) -> None:
        if event.kind is PoolEventKind.RETURNED:
            if (call := self._held.pop(event.connection, None)) is not None:
                call.returned, call.hold = event.at, event.seconds
                self._look()
        elif event.kind is PoolEventKind.REQUESTED:
            if (call := self._asking.get(asyncio.current_task())) is not None:
                call.asked = event.at
        elif event.kind is PoolEventKind.HANDED_OVER and (call := self._asking.get(asyncio.current_task())) is not None:
            call.wait = event.seconds
            self._held[event.connection] = call


trace = Trace()
pool = db.engine.pool
assert isinstance(pool, KeeperPool)
pool.options = replace(pool.options, observer=trace)


@app.get("/hold", status_code=204)
async def hold(session: WriteDB, seconds: Annotated[float, Query(ge=0, le=60)]) -> None:
    """A transaction of so many seconds."""
    call = trace.begin(seconds)
    try:
        began = float(await session.scalar(BEGAN))
        call.reached = began + time.monotonic() - time.time()
        await session.execute(SLEEP, {"seconds": seconds})
    finally:
        trace.end()


@app.get("/trace")
async def traced() -> list[dict[str, float | None]]:
    """Every call so far, when none of them waits or holds a connection."""
    await trace.quiet.wait()
    return [asdict(call) for call in trace.calls]
