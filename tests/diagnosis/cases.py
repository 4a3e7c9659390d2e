"""Every cause, as its window and the server's facts show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.diagnosis.windows import (
    IDLE_IN_TRANSACTION,
    UPDATE,
    facts,
    full,
    holder,
    holders,
    in_gap,
    nesting,
    session,
    sessions,
    window,
)

from poolkeeper.model import (
    Ceiling,
    CloseReason,
    ConnectTrouble,
    Deadlocks,
    Phase,
    PoolerFacts,
    Pools,
    PoolSnapshot,
    ServerFacts,
    ServerSession,
    Threads,
)


@dataclass(frozen=True)
class Cause:
    """A cause's window and the server's facts; `decided_alone` says that the window without facts shows it too."""

    code: str
    window: tuple[PoolSnapshot, ...]
    facts: ServerFacts | None = None
    decided_alone: bool = True
    names_holders: bool = True


# Connects fail


def trouble(code: str, kind: str, message: str, sqlstate: str | None = None, **known: Any) -> Cause:
    """The server grants no connection, and callers wait for one."""
    failing = ConnectTrouble(kind, message, sqlstate, 12.0, 9)
    shown = window(
        since=12.0,
        in_use=0,
        idle=0,
        waiting=5,
        oldest_waiter=3.0,
        connect_trouble=failing,
        load={"rate": 0.0, "timed_out": 2.0, "connects": 0.0, "connect_failures": {kind: 9}},
        **known.get("more", {}),
    )
    return Cause(code, shown, known.get("facts"), known.get("decided_alone", True), names_holders=False)


def _others(count: int = 40) -> tuple[ServerSession, ...]:
    return tuple(session(number, application="reports", state="idle") for number in range(count))


def _earlier(count: int, *, host: str = "web-1", pid: int = 7, **known: Any) -> tuple[ServerSession, ...]:
    """Sessions of another process of this service."""
    application = f"shop/{host}/{pid}"
    usual = {"state": "idle", "state_seconds": 4.0, "session_seconds": 900.0}
    return tuple(session(pid * 100 + number, application=application, **(usual | known)) for number in range(count))


def deployed(*sessions: ServerSession) -> ServerFacts:
    """A full server, as a process sees it that has run for a minute."""
    return facts(*sessions, *_others(20), ordinary=Ceiling(60, 60), application="shop/web-2/31", process_seconds=60.0)


_FULL = ("too-many-connections", "sorry, too many clients already", "53300")

CONNECT_CAUSES = (
    trouble(
        "server-full",
        "too-many-connections",
        "sorry, too many clients already",
        "53300",
        facts=facts(*_others(), ordinary=Ceiling(97, 97)),
    ),
    trouble(
        "role-limit",
        "too-many-connections",
        'too many connections for role "shop"',
        "53300",
        facts=facts(role=Ceiling(20, 20)),
    ),
    trouble(
        "role-limit",
        "too-many-connections",
        "zu viele Verbindungen",
        "53300",
        facts=facts(role=Ceiling(20, 20)),
        decided_alone=False,
    ),
    trouble(
        "database-limit",
        "too-many-connections",
        'too many connections for database "shop"',
        "53300",
        facts=facts(database=Ceiling(30, 30)),
    ),
    trouble(
        "deploy-overlap",
        *_FULL,
        facts=deployed(*_earlier(40, client_ended=True)),
        decided_alone=False,
    ),
    trouble(
        "deploy-overlap",
        *_FULL,
        facts=deployed(*_earlier(20, pid=8), *_earlier(12, state_seconds=700.0)),
        decided_alone=False,
    ),
    trouble("engine-per-request", *_FULL, more={"pools": Pools(60, 95, 900)}),
    trouble("pooler-full", "too-many-connections", "no more connections allowed (max_client_conn)", "08P01"),
    trouble(
        "pooler-wait-timeout",
        "timeout",
        "connection was closed in the middle of operation: query_wait_timeout",
        "08003",
        facts=facts(pooler=PoolerFacts(8, 3.0, 0, 20)),
    ),
    trouble("connect-dns", "dns", "[Errno -2] Name or service not known"),
    trouble("connect-refused", "refused", "[Errno 111] Connect call failed ('10.0.0.5', 5432)"),
    trouble("connect-timeout", "timeout", "timed out"),
    trouble("connect-tls", "tls", "certificate verify failed: certificate has expired"),
    trouble("connect-authentication", "authentication", 'password authentication failed for user "shop"', "28P01"),
    trouble("connect-no-database", "no-such-database", 'database "shop" does not exist', "3D000"),
    trouble("server-starting", "starting-or-stopping", "the database system is starting up", "57P03"),
    trouble("connect-network", "network", "connection was closed in the middle of operation"),
    trouble("connect-failed", "other", "unexpected packet"),
    Cause(
        "failover",
        window(
            since=6.0,
            in_use=1,
            idle=1,
            waiting=3,
            load={"wait": 0.2, "connects": 0.3},
            closed={CloseReason.SQLSTATE: 8, CloseReason.SOCKET: 2},
        ),
        facts(in_recovery=True),
        names_holders=False,
    ),
)


# The service stands in its own way

_BLOCKED = {"lag": 0.8, "lag_share": 0.5, "blocked_at": "orders/report.py:7 in render", "wait": 0.6, "waited": 0.5}
LOOP = Cause("event-loop-blocked", full(in_gap(6, awaiting=()), load=_BLOCKED), names_holders=False)
NESTED = Cause(
    "nested-checkout",
    full(in_gap(awaiting=(), waits_at="orders/audit.py:9 in write_audit"), waiting=10),
    facts(*sessions(**IDLE_IN_TRANSACTION)),
)
REFUSED_NESTED = Cause("nested-checkout", nesting(), facts(*sessions(**IDLE_IN_TRANSACTION)))
_STARVED = {"threads": Threads(40, 40, 20, "orders/report.py:7 in render", 38), "in_use": 2, "idle": 8}
THREADS = Cause(
    "thread-starvation", window(since=20.0, holders=holders(2, state_seconds=0.002), **_STARVED), names_holders=False
)


# Connecting takes the time

_SHORT = holders(2, state_seconds=0.002, seconds=0.003)
CONNECTING_CAUSES = (
    Cause(
        "overflow-churn",
        window(
            since=20.0,
            load={"rate": 10.0, "connects": 3.0, "connect": 0.09, "wait": 0.09, "waited": 0.4},
            in_use=6,
            idle=0,
            waiting=2,
            connecting=1,
            closed={CloseReason.OVERFLOW: 55},
            holders=_SHORT,
        ),
        names_holders=False,
    ),
    Cause(
        "connection-storm",
        window(
            seconds=10.0,
            since=6.0,
            empty=True,
            before={"rate": 0.0, "connects": 0},
            load={"rate": 5.0, "connects": 1.5, "connect": 0.3, "wait": 0.4, "waited": 0.9},
            in_use=2,
            idle=1,
            waiting=6,
            connecting=2,
            holders=_SHORT,
        ),
        names_holders=False,
    ),
    Cause(
        "handshake-cost",
        window(
            since=60.0,
            load={"rate": 20.0, "connects": 20.0, "connect": 0.06, "wait": 0.06, "waited": 1.0},
            capacity=None,
            idle=0,
            holders=_SHORT,
            pool_size=None,
        ),
        names_holders=False,
    ),
    Cause(
        "slow-connect",
        window(
            since=20.0,
            load={"rate": 3.0, "connects": 0.5, "connect": 2.5, "wait": 1.5, "waited": 0.5},
            in_use=2,
            idle=0,
            waiting=3,
            connecting=2,
            oldest_waiter=2.0,
            holders=_SHORT,
        ),
        names_holders=False,
    ),
)


# The database takes the time

_MIGRATION = {"application": "alembic", "user": "admin", "client": "10.0.0.9"}
_WAITS = {"state": "active", "state_seconds": 2.0}
_LOCKED = sessions(wait="Lock/transactionid", blocked_by=(7,), statement=UPDATE, **_WAITS)
_ROOT = session(7, statement="UPDATE stock SET n = ?", transaction_seconds=40.0, **(_MIGRATION | IDLE_IN_TRANSACTION))
_ALTER = session(
    8, statement="ALTER TABLE orders ADD COLUMN x int", wait="Lock/relation", blocked_by=(9,), **_MIGRATION
)
_READER = session(
    9, statement="SELECT count(*) FROM orders", transaction_seconds=90.0, application="psql", **IDLE_IN_TRANSACTION
)
_QUICK_UPDATE = {"statement": UPDATE, "seconds": 0.4, "state_seconds": 0.35}
_SHAPES = tuple(f"SELECT * FROM table_{letter}" for letter in "abcdefghij")
_BEHIND_POOLER = {"backend": 90001}

SQL_CAUSES = (
    Cause("row-lock-wait", full(holders(statement=UPDATE)), facts(*_LOCKED, _ROOT), decided_alone=False),
    Cause(
        "row-lock-wait",
        full(holders(statement=UPDATE)),
        facts(*sessions(wait="Lock/row", blocked_by=(7,), statement=UPDATE, **_WAITS), _ROOT, kind="mysql"),
        decided_alone=False,
    ),
    Cause(
        "ddl-queue",
        full(holders()),
        facts(*sessions(wait="Lock/relation", blocked_by=(8,), **_WAITS), _ALTER, _READER),
        decided_alone=False,
    ),
    Cause(
        "hot-row",
        full(
            (
                *(holder(number, **_QUICK_UPDATE) for number in range(9, 0, -1)),
                holder(0, statement=UPDATE, in_sql=False, seconds=0.36, state_seconds=0.002),
            )
        ),
        facts(
            session(100, statement=UPDATE, transaction_seconds=0.03, **IDLE_IN_TRANSACTION),
            *(
                session(100 + number, wait="Lock/tuple", blocked_by=(100,), statement=UPDATE, state_seconds=0.3)
                for number in range(1, 10)
            ),
        ),
        decided_alone=False,
    ),
    Cause("slow-commit", full(holders()), facts(*sessions(wait="IO/WalSync", **_WAITS)), decided_alone=False),
    Cause("huge-result", full(holders()), facts(*sessions(wait="Client/ClientWrite", **_WAITS)), decided_alone=False),
    Cause(
        "pooler-queue",
        full(holders(**_BEHIND_POOLER), waiting=0, load={"wait": 0.0002, "timed_out": 0.0, "waited": 0.0}),
        facts(session(1, state_seconds=0.2), session(2, state_seconds=0.1), pooler=PoolerFacts(8, 1.9, 2, 2)),
        decided_alone=False,
    ),
    Cause(
        "black-hole",
        full(holders(6, state_seconds=25.0, seconds=25.1)),
        facts(*sessions(6, state="idle", wait="Client/ClientRead", state_seconds=60.0)),
        decided_alone=False,
    ),
    Cause(
        "many-statements",
        full(
            holders(statements=400, state_seconds=0.002),
            load={"in_sql": 1.5, "gap": 0.05},
        ),
        facts(*sessions(state_seconds=0.001)),
    ),
    Cause(
        "server-saturated",
        full(tuple(holder(number, statement=_SHAPES[number]) for number in range(9, -1, -1))),
        facts(*(session(100 + number, statement=_SHAPES[number]) for number in range(10)), cpus=4),
    ),
    Cause("slow-query", full(holders()), facts(*sessions())),
    Cause("slow-query", full(holders()), facts(*sessions(wait="IO/DataFileRead"))),
)


# Holders take the time

_IDLE = facts(*sessions(**IDLE_IN_TRANSACTION))
GAP_CAUSES = (
    Cause("leak", full(in_gap(finished=True, awaiting=())), _IDLE),
    Cause("leak", full((*in_gap(8, phase=Phase.RESPONDED, awaiting=()), *in_gap(1))), _IDLE),
    Cause("held-while-streaming", full(in_gap(phase=Phase.RESPONDING)), _IDLE),
    Cause("held-in-background-task", full(in_gap(phase=Phase.RESPONDED)), _IDLE),
    Cause("slow-cursor", full(in_gap(streams=True)), _IDLE),
    Cause(
        "checked-out-early",
        full(in_gap(statement=None, statements=0, in_transaction=False)),
        facts(*sessions(state="idle", statement=None)),
    ),
    Cause("held-across-external-io", full(in_gap(), load={"in_sql": 0.003, "gap": 2.0}), _IDLE),
    Cause("held-across-external-io", full(in_gap(awaiting=()), load={"in_sql": 0.003, "gap": 2.0}), _IDLE),
    Cause("long-hold", full(holders(in_sql=None, statement=None, statements=None, backend=None))),
)


# Arithmetic

_BRIEF = holders(10, state_seconds=0.002, seconds=0.004)
ARITHMETIC_CAUSES = (
    Cause(
        "undersized-pool",
        full(
            _BRIEF,
            waiting=30,
            since=40.0,
            load={"rate": 2000.0, "in_sql": 0.004, "gap": 0.001, "wait": 0.06, "waited": 1.0, "timed_out": 0.0},
        ),
        facts(*sessions(state_seconds=0.001)),
        names_holders=False,
    ),
    Cause(
        "burst",
        window(since=4.0, load={"rate": 100.0, "wait": 0.2, "waited": 0.8}, in_use=4, idle=6, holders=_SHORT),
        facts(*sessions(2)),
        names_holders=False,
    ),
    Cause(
        "clients-give-up",
        window(
            since=20.0,
            load={"rate": 30.0, "wait": 0.2, "waited": 0.3, "cancelled": 5.0},
            in_use=4,
            idle=6,
            holders=_SHORT,
        ),
        names_holders=False,
    ),
)

CAUSES: tuple[Cause, ...] = (
    *CONNECT_CAUSES,
    LOOP,
    NESTED,
    REFUSED_NESTED,
    THREADS,
    *CONNECTING_CAUSES,
    *SQL_CAUSES,
    *GAP_CAUSES,
    *ARITHMETIC_CAUSES,
)

# A cause whose pool is not empty yet is told as well: what is seen, not how much it hurts.
QUIET: tuple[Cause, ...] = (
    Cause("leak", window(in_use=3, idle=7, holders=in_gap(1, finished=True, seconds=20.0, state_seconds=19.0))),
    Cause("leak-collected", window(since=20.0, closed={CloseReason.LEAKED: 2}), names_holders=False),
    Cause(
        "deadlocks",
        window(since=20.0, deadlocks=Deadlocks(4, UPDATE, "POST /stock", "orders/stock.py:31 in take")),
        names_holders=False,
    ),
    Cause("engine-per-request", window(since=20.0, pools=Pools(12, 12, 180)), names_holders=False),
    Cause("thread-starvation", window(since=2.0, **_STARVED), names_holders=False),
    Cause("stale-connections", window(since=20.0, closed={CloseReason.SOCKET: 4}), names_holders=False),
    Cause("slow-query", window(in_use=3, idle=7, holders=holders(1, seconds=45.0, state_seconds=45.0))),
    Cause(
        "held-across-external-io",
        window(in_use=3, idle=7, holders=in_gap(1, seconds=45.0, state_seconds=45.0)),
    ),
    Cause("nested-checkout", window(in_use=3, idle=7, connecting=1, holders=in_gap(1, waits_at="orders/a.py:1 in b"))),
)
