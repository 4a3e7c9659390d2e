"""Whatever a pool and a server say, explaining it neither fails nor depends on anything else."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poolkeeper import ConnectFailure
from poolkeeper.diagnosis import explain, in_full, in_short
from poolkeeper.model import (
    BOUNDS,
    Ceiling,
    CloseReason,
    ConnectTrouble,
    Deadlocks,
    Histogram,
    Holder,
    LoopLag,
    NestedCheckouts,
    Phase,
    PoolerFacts,
    Pools,
    PoolSnapshot,
    RefusalReason,
    ServerFacts,
    ServerSession,
    Threads,
    Timings,
    Totals,
)

COUNT = st.integers(0, 30) | st.integers(0, 10**6)
SECONDS = st.floats(0, 60) | st.floats(0, 1e300, allow_nan=False)
MAYBE = st.none() | SECONDS
TEXT = st.sampled_from(["", "SELECT ?", "ALTER TABLE a", "shop", "GET /a", "a/b.py:1 in c", "x" * 300]) | st.text(
    max_size=9
)
WAITS = st.sampled_from([None, "Lock/relation", "Lock/tuple", "IO/WalSync", "Client/ClientWrite", "Client/ClientRead"])
STATES = st.sampled_from([None, "active", "idle", "idle in transaction", "idle in transaction (aborted)"])
ID = st.integers(0, 6)
APPLICATIONS = ["shop/web-1/1", "shop/web-1/2", "shop/web-2/1", "psql"]

REFUSALS = st.dictionaries(st.sampled_from([str(reason) for reason in RefusalReason]), COUNT)
holders = st.builds(
    Holder,
    task=TEXT,
    route=st.none() | TEXT,
    seconds=SECONDS,
    site=st.none() | TEXT,
    statement=st.none() | TEXT,
    statements=st.none() | COUNT,
    in_sql=st.none() | st.booleans(),
    state_seconds=MAYBE,
    in_transaction=st.none() | st.booleans(),
    streams=st.booleans(),
    backend=st.none() | ID,
    phase=st.none() | st.sampled_from(Phase),
    finished=st.booleans(),
    waits_at=st.none() | TEXT,
    awaiting=st.lists(TEXT, max_size=3).map(tuple),
)
histograms = st.builds(
    Histogram, st.lists(COUNT, min_size=len(BOUNDS) + 1, max_size=len(BOUNDS) + 1).map(tuple), SECONDS
) | st.just(Histogram((1, 2), 3.0, (0.5,)))
snapshots = st.builds(
    PoolSnapshot,
    name=st.sampled_from(["orders", "reports"]),
    capacity=st.none() | st.integers(0, 6),
    in_use=COUNT,
    idle=COUNT,
    waiting=COUNT,
    connecting=COUNT,
    opened=COUNT,
    closed=st.dictionaries(st.sampled_from(CloseReason), COUNT),
    holders=st.lists(holders, max_size=6).map(tuple),
    at=SECONDS,
    pool_timeout=MAYBE,
    pool_recycle=MAYBE,
    oldest_waiter=MAYBE,
    totals=st.builds(
        Totals,
        *[COUNT] * 8,
        st.dictionaries(st.sampled_from([str(kind) for kind in ConnectFailure]), COUNT),
        REFUSALS,
    ),
    timings=st.builds(Timings, *[histograms] * 5),
    loop_lag=st.none() | st.builds(LoopLag, histograms, SECONDS, st.none() | TEXT),
    connect_trouble=st.none()
    | st.builds(ConnectTrouble, st.sampled_from([str(kind) for kind in ConnectFailure]) | TEXT, TEXT, st.none() | TEXT),
    deadlocks=st.builds(Deadlocks, COUNT, *[st.none() | TEXT] * 3),
    nested=st.builds(NestedCheckouts, COUNT, REFUSALS, st.none() | holders, SECONDS),
    threads=st.none() | st.builds(Threads, st.none() | st.integers(0, 6), COUNT, COUNT, st.none() | TEXT, COUNT),
    pools=st.none() | st.builds(Pools, COUNT, COUNT, st.none() | COUNT),
    unknown=st.frozensets(st.sampled_from(["waiting", "connecting", "timings.waits"])),
)
ceilings = st.builds(Ceiling, st.none() | COUNT, COUNT)
sessions = st.builds(
    ServerSession,
    id=ID,
    application=st.none() | TEXT | st.sampled_from(APPLICATIONS),
    state=STATES,
    wait=WAITS,
    state_seconds=MAYBE,
    transaction_seconds=MAYBE,
    blocked_by=st.lists(ID, max_size=2).map(tuple),
    statement=st.none() | TEXT,
    session_seconds=MAYBE,
    client_ended=st.booleans(),
)
servers = st.none() | st.builds(
    ServerFacts,
    kind=st.just("postgresql"),
    version=st.just("18"),
    at=SECONDS,
    ordinary=ceilings,
    role=ceilings,
    database=ceilings,
    sessions=st.lists(sessions, max_size=6).map(tuple),
    timeouts=st.dictionaries(st.sampled_from(["wait_timeout", "idle_session_timeout"]), MAYBE),
    unseen=COUNT,
    in_recovery=st.none() | st.booleans(),
    pooler=st.none() | st.builds(PoolerFacts, COUNT, SECONDS, COUNT, st.none() | COUNT),
    cpus=st.none() | COUNT,
    application=st.none() | st.sampled_from(APPLICATIONS),
    process_seconds=MAYBE,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(snapshots, max_size=4), servers)
def test_anything_is_explained(window: list[PoolSnapshot], facts: ServerFacts | None) -> None:
    findings = explain(window, facts)
    assert findings == explain(tuple(window), facts)
    for finding in findings:
        assert len(finding.seen) <= 200
        assert str(finding)
        assert finding.as_dict()
    if window:
        assert in_full(window[-1], findings)
    assert bool(in_short(findings)) == bool(findings)
