"""Windows of snapshots and server facts, made from what is unusual in them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from poolkeeper.model import (
    BOUNDS,
    Ceiling,
    Histogram,
    Holder,
    LoopLag,
    NestedCheckouts,
    Phase,
    PoolSnapshot,
    RefusalReason,
    ServerFacts,
    ServerSession,
    Timings,
    Totals,
)

NOW = 1000.0
EVERY = 2.0
ROUTE = "GET /orders/{order_id}"
SITE = "orders/shop.py:42 in place_order"
SECOND_SITE = "orders/audit.py:9 in write_audit"
CALL = (
    "orders/api.py:12 in pay",
    "orders/shop.py:60 in charge",
    "httpx/_client.py:1540 in get",
    "anyio/x.py:1 in wait",
)
SELECT = "SELECT * FROM orders WHERE id = ?"
UPDATE = "UPDATE stock SET n = n - ? WHERE id = ?"


def histogram(values: Mapping[float, int]) -> Histogram:
    """Of so many values each."""
    counts = [0] * (len(BOUNDS) + 1)
    for value, count in values.items():
        counts[bisect_left(BOUNDS, value)] += count
    return Histogram(tuple(counts), sum(value * count for value, count in values.items()))


def work(
    seconds: float,
    *,
    rate: float = 20.0,
    wait: float = 0.0002,
    waited: float = 0.0,
    connect: float = 0.003,
    connects: float = 0.005,
    in_sql: float = 0.004,
    gap: float = 0.001,
    out: int = 0,
    lag: float = 0.001,
    lag_share: float = 1.0,
    **more: Any,
) -> dict[str, Any]:
    """What a pool has counted after so many seconds of this load, `out` of what it served not yet back.

    What counts up is given per second, but for `connect_failures`.
    """
    served = int(rate * seconds)
    back = max(0, served - out)
    opened = round(connects * seconds)
    probes = int(10 * seconds)
    late = int(probes * lag_share)
    totals = {"timed_out": 0, "refused": 0, "cancelled": 0} | {
        key: int(value * seconds) for key, value in more.items() if key in ("timed_out", "refused", "cancelled")
    }
    return {
        "totals": Totals(
            requests=served + sum(totals.values()),
            waited=int(served * waited),
            served=served,
            returned=back,
            connects=opened,
            connect_failures=more.get("connect_failures", {}),
            **totals,
        ),
        "timings": Timings(
            waits=histogram({wait: served}),
            connects=histogram({connect: opened}),
            holds=histogram({in_sql + gap: back}),
            in_sql=histogram({in_sql: back}),
            gaps=histogram({gap: back}),
        ),
        "loop_lag": LoopLag(
            histogram({lag: late, 0.0004: probes - late}), lag, more.get("blocked_at"), late if lag >= 0.25 else 0
        ),
        "opened": opened,
    }


HEALTHY = {"capacity": 10, "in_use": 2, "idle": 8, "waiting": 0, "pool_size": 10, "pool_timeout": 30.0}


def window(
    *,
    seconds: float = 60.0,
    since: float = 60.0,
    load: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    empty: bool = False,
    **now: Any,
) -> tuple[PoolSnapshot, ...]:
    """Snapshots every 2 s: an ordinary day until `since` seconds ago, then what `now` and `load` say.

    What `closed` says is closed bit by bit. A pool that was `empty` before has just been made.
    """
    begin = NOW - seconds
    found = []
    for step in range(int(seconds / EVERY) + 1):
        at = begin + step * EVERY
        trouble = NOW - at <= since
        # The load before counts up to where the trouble begins, and the trouble's from there.
        calm = work(min(at, NOW - since) - begin + 600.0, **dict(before or {}))
        counted = _plus(calm, work(at - max(begin, NOW - since), **dict(load or {}))) if trouble else calm
        shown = HEALTHY | (now if trouble else {"in_use": 0, "idle": 0} if empty else {})
        if "closed" in shown:
            share = (at - NOW + since) / since
            shown["closed"] = {reason: int(count * share) for reason, count in shown["closed"].items()}
        found.append(PoolSnapshot(name="orders", at=at, **(counted | shown)))
    return tuple(found)


def _plus(calm: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return {
        "totals": calm["totals"] + more["totals"],
        "timings": calm["timings"] + more["timings"],
        "loop_lag": replace(
            more["loop_lag"],
            lags=calm["loop_lag"].lags + more["loop_lag"].lags,
            late=calm["loop_lag"].late + more["loop_lag"].late,
        ),
        "opened": calm["opened"] + more["opened"],
    }


def holder(number: int = 0, **known: Any) -> Holder:
    """A request in SQL for 2 s, with the session 100 + number."""
    usual: dict[str, Any] = {
        "task": f"Task-{number}",
        "route": ROUTE,
        "seconds": 2.1 + number / 100,
        "site": SITE,
        "statement": SELECT,
        "statements": 3,
        "in_sql": True,
        "state_seconds": 2.0 + number / 100,
        "in_transaction": True,
        "backend": 100 + number,
        "phase": Phase.HANDLING,
    }
    return Holder(**(usual | known))


def holders(count: int = 10, **known: Any) -> tuple[Holder, ...]:
    """So many alike, the longest first."""
    return tuple(holder(number, **known) for number in reversed(range(count)))


def in_gap(count: int = 10, **known: Any) -> tuple[Holder, ...]:
    """So many that are in a gap, in a call of another service."""
    return holders(count, **({"in_sql": False, "awaiting": CALL} | known))


def full(held: Iterable[Holder], *, waiting: int = 8, since: float = 20.0, **more: Any) -> tuple[PoolSnapshot, ...]:
    """A pool of 10 whose holders are these, and others wait."""
    load = {"rate": 4.0, "wait": 2.0, "waited": 0.9, "timed_out": 1.0, "in_sql": 2.0, "out": 10} | more.pop("load", {})
    shown = {"in_use": 10, "idle": 0, "waiting": waiting, "oldest_waiter": 2.0 if waiting else None} | more
    return window(since=since, load=load, holders=tuple(held), **shown)


def nesting(
    reason: RefusalReason = RefusalReason.NOBODY_RETURNS,
    *,
    refused: float = 4.0,
    waited: float = 0.0,
    ago: float = 0.5,
    load: Mapping[str, Any] | None = None,
    **latest: Any,
) -> tuple[PoolSnapshot, ...]:
    """A full pool whose holders are brief. Since 20 s, of the 36 who have to wait each second and of the 4 who are
    refused so many ask for their second connection, the latest of them so many seconds `ago`."""
    since = 20.0
    shown = {"rate": 40.0, "wait": 0.1, "waited": 0.9, "refused": 4.0, "timed_out": 0.0, "in_sql": 0.01}
    asked = holder(**{"in_sql": False, "seconds": 0.2, "state_seconds": 0.1, "waits_at": SECOND_SITE} | latest)

    def counted(snapshot: PoolSnapshot) -> PoolSnapshot:
        seconds = snapshot.at - NOW + since
        if seconds <= 0:
            return snapshot
        refusals = {reason.value: int(refused * seconds)}
        return replace(snapshot, nested=NestedCheckouts(int(waited * seconds), refusals, asked, snapshot.at - ago))

    held = holders(seconds=0.02, state_seconds=0.01)
    return changed(full(held, since=since, load=shown | dict(load or {})), counted)


def session(number: int, **known: Any) -> ServerSession:
    """One that runs the usual statement since 2 s, on the CPU."""
    usual: dict[str, Any] = {
        "user": "shop",
        "database": "shop",
        "application": "orders",
        "state": "active",
        "state_seconds": 2.0,
        "transaction_seconds": 2.1,
        "statement": SELECT,
    }
    return ServerSession(number, **(usual | known))


def sessions(count: int = 10, **known: Any) -> tuple[ServerSession, ...]:
    return tuple(session(100 + number, **known) for number in range(count))


def facts(*there: ServerSession, **known: Any) -> ServerFacts:
    usual: dict[str, Any] = {
        "kind": "postgresql",
        "version": "18.0",
        "at": NOW,
        "ordinary": Ceiling(97, 20),
        "sessions": there,
        "cpus": 16,
    }
    return ServerFacts(**(usual | known))


IDLE_IN_TRANSACTION = {"state": "idle in transaction", "wait": "Client/ClientRead"}


def changed(
    snapshots: Iterable[PoolSnapshot], change: Callable[[PoolSnapshot], PoolSnapshot]
) -> tuple[PoolSnapshot, ...]:
    """The window with each snapshot changed."""
    return tuple(change(snapshot) for snapshot in snapshots)
