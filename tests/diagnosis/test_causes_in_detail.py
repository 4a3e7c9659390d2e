from __future__ import annotations

from dataclasses import replace

import pytest
from tests.diagnosis.cases import LOOP, SQL_CAUSES, Cause
from tests.diagnosis.windows import (
    CALL,
    IDLE_IN_TRANSACTION,
    NOW,
    ROUTE,
    SITE,
    UPDATE,
    changed,
    facts,
    full,
    histogram,
    holder,
    holders,
    in_gap,
    session,
    sessions,
    window,
)

from poolkeeper.diagnosis import explain
from poolkeeper.model import (
    Ceiling,
    Confidence,
    Finding,
    LoopLag,
    Phase,
    PoolerFacts,
    PoolSnapshot,
    ServerFacts,
    Severity,
)


def first(snapshots: tuple[PoolSnapshot, ...], there: ServerFacts | None = None) -> Finding:
    return explain(snapshots, there)[0]


def cause(code: str) -> Cause:
    return next(cause for cause in SQL_CAUSES if cause.code == code)


# Locks


def test_a_lock_wait_names_the_blocker_and_its_statement() -> None:
    found = first(cause("row-lock-wait").window, cause("row-lock-wait").facts)
    assert 'session 7 ("alembic", user admin, 10.0.0.9), idle in transaction for 40 s' in found.seen
    assert "UPDATE stock SET n = ?" in found.why
    assert "end it (session 7)" in found.fix
    assert (found.figures["blocker"], found.figures["blocker_application"]) == (7, "alembic")


def test_a_blocker_of_our_own_is_named_by_route_and_site_and_what_it_awaits() -> None:
    pausing = holder(0, in_sql=False, awaiting=CALL, route="POST /pay", site="orders/shop.py:58 in charge", seconds=9.0)
    blocked = sessions(10, wait="Lock/transactionid", blocked_by=(100,))[1:]
    there = facts(session(100, statement=UPDATE, **IDLE_IN_TRANSACTION), *blocked)
    found = first(full((pausing, *holders(10)[:-1])), there)
    assert found.code == "row-lock-wait"
    assert "POST /pay at orders/shop.py:58 in charge (our session 100)" in found.seen
    assert "httpx/_client.py" in found.why


def test_a_blocker_behind_others_is_the_root() -> None:
    chain = (session(7, blocked_by=(6,)), session(6, application="psql", **IDLE_IN_TRANSACTION))
    there = facts(*sessions(10, wait="Lock/tuple", blocked_by=(7,)), *chain)
    assert first(full(holders()), there).figures["blocker"] == 6


def test_a_prepared_transaction_has_no_session() -> None:
    found = first(full(holders()), facts(*sessions(10, wait="Lock/transactionid", blocked_by=(0,))))
    assert "a prepared transaction" in found.seen
    assert found.confidence is Confidence.LIKELY


def test_a_schema_change_is_told_with_what_it_waits_for() -> None:
    found = first(cause("ddl-queue").window, cause("ddl-queue").facts)
    assert "ALTER TABLE orders ADD COLUMN x int" in found.seen
    assert "session 9" in found.why
    assert "idle in transaction for 90 s" in found.why
    assert found.figures["blocker"] == 9


def test_locks_show_through_a_pooler_too() -> None:
    blocked = sessions(2, wait="Lock/transactionid", blocked_by=(7,))
    there = facts(*blocked, session(7, **IDLE_IN_TRANSACTION), pooler=PoolerFacts(8, 1.0, 2, 2))
    found = first(full(holders(backend=90001)), there)
    assert (found.code, found.confidence) == ("row-lock-wait", Confidence.LIKELY)
    assert "which session is whose: behind a pooler" in found.unseen


# What the server does


def test_a_slow_statement_behind_a_pooler_is_no_queue() -> None:
    there = facts(*sessions(2, state_seconds=1.9), pooler=PoolerFacts(8, 1.0, 2, 2))
    assert first(full(holders(backend=90001)), there).code == "slow-query"


def test_a_queue_in_an_unknown_pooler_is_possible() -> None:
    found = first(full(holders(backend=90001)), facts(session(1, state_seconds=0.1)))
    assert (found.code, found.confidence) == ("pooler-queue", Confidence.POSSIBLE)
    assert "the pooler: no facts of its console" in found.unseen


def test_the_poolers_figures_are_told() -> None:
    found = first(cause("pooler-queue").window, cause("pooler-queue").facts)
    assert "8 clients wait there for up to 1.9 s, 2 of 2 server connections active" in found.why


def test_a_session_that_the_server_does_not_have_is_a_black_hole() -> None:
    lost = tuple(holder(number, state_seconds=20.0, seconds=21.0) for number in range(6))
    found = first(full((*lost, *in_gap(1, backend=200))), facts(session(200, **IDLE_IN_TRANSACTION)))
    assert (found.code, found.confidence) == ("black-hole", Confidence.CERTAIN)
    assert "has no session 100" in found.seen


def test_a_server_that_knows_none_of_our_sessions_may_be_behind_a_pooler() -> None:
    found = first(full(holders()), facts(session(1, application="reports", statement="SELECT ?", state="idle")))
    assert (found.code, found.confidence) == ("black-hole", Confidence.POSSIBLE)
    assert "a pooler between, which would hide the sessions" in found.unseen


def test_an_answer_on_its_way_is_no_black_hole() -> None:
    there = facts(*sessions(state="idle", state_seconds=0.3))
    assert "black-hole" not in [finding.code for finding in explain(full(holders()), there)]


def test_a_session_that_was_idle_before_the_statement_began_says_nothing_of_it() -> None:
    there = facts(*sessions(state="idle", wait="Client/ClientRead", state_seconds=60.0), at=NOW - 3.0)
    found = first(full(holders(state_seconds=4.0, seconds=4.1)), there)
    assert (found.code, found.confidence) == ("slow-query", Confidence.POSSIBLE)


def test_a_server_that_answers_nobody_is_a_black_hole_or_hangs() -> None:
    found = explain(full(holders()), unanswered=True)[0]
    assert (found.code, found.confidence) == ("black-hole", Confidence.POSSIBLE)
    assert found.unseen[0] == "a server that hangs, or a pooler's queue before it, would look the same"
    assert "the server: it does not answer" in found.unseen


def test_a_server_that_cannot_be_reached_through_a_poolers_queue_is_no_black_hole() -> None:
    alone = facts(version="", ordinary=Ceiling(None, 0), pooler=PoolerFacts(8, 3.0, 1, 1), cpus=None)
    found = explain(full(holders(backend=90001)), alone, unanswered=True)[0]
    assert (found.code, found.confidence) == ("pooler-queue", Confidence.CERTAIN)


def test_a_look_that_takes_too_long_is_nothing_while_statements_are_answered() -> None:
    snapshots = full(holders(state_seconds=0.4, seconds=0.5))
    assert explain(snapshots, unanswered=True)[0].code == "slow-query"


def test_several_slow_statements_on_an_idle_server_are_just_slow() -> None:
    saturated = cause("server-saturated")
    assert saturated.facts is not None
    assert first(saturated.window, replace(saturated.facts, cpus=64)).code == "slow-query"
    unknown = first(saturated.window, replace(saturated.facts, cpus=None))
    assert (unknown.code, unknown.unseen[0]) == ("server-saturated", "the number of the server's CPUs")


def test_a_session_whose_state_is_hidden_decides_nothing() -> None:
    found = first(full(holders()), facts(*sessions(state=None, statement=None, state_seconds=None), unseen=10))
    assert (found.code, found.confidence) == ("slow-query", Confidence.POSSIBLE)


# What holders do


def test_the_awaited_call_is_named() -> None:
    found = first(full(in_gap()))
    assert "orders/shop.py:60 in charge (httpx/_client.py:1540 in get)" in found.seen
    assert "in an open transaction" in found.seen


def test_long_names_do_not_crowd_out_the_call() -> None:
    long = "POST /customers/{customer_id}/orders/{order_id}/payments"
    site = "payments/routes.py:142 in capture_payment_of_order"
    found = first(full(in_gap(route=long, site=site)))
    assert long in found.seen
    assert site in found.seen
    assert "orders/shop.py:60 in charge" in found.seen


def test_a_call_outside_a_transaction_keeps_no_locks() -> None:
    found = first(full(in_gap(in_transaction=False)))
    assert found.code == "held-across-external-io"
    assert "transaction" not in found.seen
    assert "locks" not in found.why


def test_brief_pauses_are_found_by_what_holds_take() -> None:
    snapshots = full(in_gap(state_seconds=0.01, seconds=0.02), load={"in_sql": 0.003, "gap": 0.3})
    assert first(snapshots).code == "held-across-external-io"


def test_outside_requests_the_call_site_is_the_subject() -> None:
    found = first(full(in_gap(route=None, phase=None)))
    assert found.subject == SITE
    assert "task Task-" in found.seen


def test_a_stream_comes_before_its_cursor() -> None:
    assert first(full(in_gap(phase=Phase.RESPONDING, streams=True))).code == "held-while-streaming"


@pytest.mark.parametrize("in_sql", [True, False])
@pytest.mark.parametrize("there", [None, facts(*sessions(state_seconds=0.002))])
def test_a_long_stream_that_fetches_in_between_keeps_its_connection(in_sql: bool, there: ServerFacts | None) -> None:
    held = holders(in_sql=in_sql, phase=Phase.RESPONDING, seconds=7.0, state_seconds=0.002, statements=60)
    found = first(full(held, load={"in_sql": 0.003, "gap": 0.003}), there)
    assert (found.code, found.severity) == ("held-while-streaming", Severity.ERROR)
    assert "(longest 7.0 s)" in found.seen


def test_a_slow_statement_of_a_stream_is_the_statement() -> None:
    held = holders(phase=Phase.RESPONDING, seconds=7.0, state_seconds=3.0)
    assert first(full(held), facts(*sessions(state_seconds=3.0))).code == "slow-query"


def test_a_short_stream_keeps_nothing_for_long() -> None:
    held = holders(in_sql=False, phase=Phase.RESPONDING, seconds=0.05, state_seconds=0.002)
    snapshots = full(held, load={"in_sql": 0.003, "gap": 0.003})
    assert "held-while-streaming" not in [one.code for one in explain(snapshots)]


def test_most_of_what_happens_is_told_first() -> None:
    held = (*in_gap(8, route="POST /pay"), *in_gap(2, finished=True))
    findings = explain(full(held))
    assert {finding.code: finding.severity for finding in findings if finding.subject != "orders"} == {
        "leak": Severity.ERROR,
        "held-across-external-io": Severity.ERROR,
    }
    assert findings[1].subject == "POST /pay"


# Arithmetic and signals


def test_an_undersized_pool_gets_a_number() -> None:
    load = {"rate": 400.0, "in_sql": 0.04, "wait": 0.3, "waited": 1.0, "timed_out": 0.0, "gap": 0.01}
    snapshots = full(holders(state_seconds=0.01, seconds=0.02), since=40.0, load=load)
    room, none = first(snapshots, facts()), first(snapshots, facts(ordinary=Ceiling(97, 95)))
    assert "400.0 requests/s x 50 ms hold = 20.0 connections needed of 10" in room.seen
    assert "raise pool_size to about 29 per process (the server has 77 free)" in room.fix
    assert "the server has only 2 connections left" in none.fix
    assert first(snapshots).unseen == ("the server: no facts",)


def test_clients_that_give_up_are_told_beside_the_cause() -> None:
    codes = [finding.code for finding in explain(full(holders(), load={"cancelled": 3.0}), facts(*sessions()))]
    assert codes[0] == "slow-query"
    assert "clients-give-up" in codes


def test_the_three_signals_come_after_causes() -> None:
    load = {"rate": 4.0, "wait": 2.0, "waited": 0.9, "in_sql": 2.0}
    snapshots = window(seconds=300.0, since=299.0, load=load, in_use=10, idle=0, waiting=8, holders=holders())

    def filling(snapshot: PoolSnapshot) -> PoolSnapshot:
        done = int(snapshot.at - 700.0)
        totals = replace(snapshot.totals, returned=snapshot.totals.returned - done // 30)
        return replace(snapshot, totals=totals, in_use=min(10, done // 30))

    codes = [finding.code for finding in explain(changed(snapshots, filling))]
    assert codes == ["slow-query", "checkout-wait-high", "pool-full", "checkins-behind"]


@pytest.mark.parametrize("seconds", [60.0, 110.0])
def test_a_wait_that_has_not_lasted_is_no_signal(seconds: float) -> None:
    snapshots = window(seconds=seconds, since=seconds, load={"wait": 2.0, "waited": 1.0})
    assert "checkout-wait-high" not in [finding.code for finding in explain(snapshots)]


def test_a_wait_for_two_minutes_is_one() -> None:
    snapshots = window(seconds=180.0, since=130.0, load={"wait": 2.0, "waited": 1.0})
    assert "checkout-wait-high" in [finding.code for finding in explain(snapshots)]


def test_an_accident_of_the_loop_does_not_explain_a_full_pool() -> None:
    def paused(snapshot: PoolSnapshot) -> PoolSnapshot:
        assert snapshot.loop_lag is not None
        return replace(snapshot, loop_lag=replace(snapshot.loop_lag, recent=0.4))

    codes = [finding.code for finding in explain(changed(full(holders()), paused), facts(*sessions()))]
    assert codes[:2] == ["slow-query", "event-loop-blocked"]


def test_one_long_pause_in_a_short_life_is_an_accident_of_the_loop() -> None:
    begun, now = window(seconds=2.0)[-2:]
    pause = LoopLag(histogram({0.0004: 8, 0.3: 1}), 0.3, late=1)
    nested = holders(in_sql=False, waits_at="orders/audit.py:9 in write_audit")
    stuck = replace(now, in_use=10, idle=0, waiting=5, holders=nested, loop_lag=pause)
    findings = explain((replace(begun, loop_lag=LoopLag()), stuck))
    assert [(one.code, one.severity) for one in findings[:2]] == [
        ("nested-checkout", Severity.ERROR),
        ("event-loop-blocked", Severity.WARNING),
    ]


@pytest.mark.parametrize("lag", [0.12, 0.4])
def test_a_loop_that_is_late_often_and_never_blocked_is_a_busy_machine(lag: float) -> None:
    """Lags of 0.12 s are short, and those of 0.4 s were for want of a CPU."""

    def busy(snapshot: PoolSnapshot) -> PoolSnapshot:
        assert snapshot.loop_lag is not None
        return replace(snapshot, loop_lag=replace(snapshot.loop_lag, late=0))

    snapshots = full(in_gap(), load={"lag": lag, "lag_share": 0.5})
    first_told, *others = explain(changed(snapshots, busy))
    assert (first_told.code, first_told.severity) == ("held-across-external-io", Severity.ERROR)
    assert all(one.severity is Severity.WARNING for one in others if one.code == "event-loop-blocked")


def test_the_blocked_line_is_named() -> None:
    found = first(LOOP.window)
    assert "blocked at orders/report.py:7 in render" in found.seen
    assert found.subject == "orders/report.py:7 in render"
    assert ROUTE not in found.seen


def test_a_start_is_no_trouble() -> None:
    """A pool warms up, and the loop has paused while the service was loaded: nobody waits."""
    start = window(
        seconds=4.0,
        since=2.0,
        empty=True,
        before={"rate": 0.0, "connects": 0},
        load={"rate": 0.0, "connects": 5.0, "connect": 0.1},
        in_use=0,
        idle=10,
    )

    def paused(snapshot: PoolSnapshot) -> PoolSnapshot:
        assert snapshot.loop_lag is not None
        return replace(snapshot, loop_lag=replace(snapshot.loop_lag, recent=0.5))

    assert explain(changed(start, paused)) == ()
