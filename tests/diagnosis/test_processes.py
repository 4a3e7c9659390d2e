"""What a process does to itself, and what earlier ones left it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.diagnosis.cases import CONNECT_CAUSES, THREADS, deployed
from tests.diagnosis.windows import changed, facts, full, holders, session, sessions, window

from poolkeeper.diagnosis import explain
from poolkeeper.model import (
    Ceiling,
    ClientName,
    Confidence,
    Deadlocks,
    Finding,
    Pools,
    PoolSnapshot,
    ServerFacts,
    ServerSession,
    Severity,
    Threads,
)

REFUSED = next(cause.window for cause in CONNECT_CAUSES if cause.code == "server-full")


def codes(snapshots: tuple[PoolSnapshot, ...], there: ServerFacts | None = None) -> list[str]:
    return [finding.code for finding in explain(snapshots, there)]


def the(code: str, snapshots: tuple[PoolSnapshot, ...], there: ServerFacts | None = None) -> Finding:
    return next(finding for finding in explain(snapshots, there) if finding.code == code)


# Threads


def test_starved_threads_are_told_with_what_they_are_at() -> None:
    found = explain(THREADS.window)[0]
    assert "40 of 40 threads busy, 38 of them at orders/report.py:7 in render; 20 calls waiting for one" in found.seen
    assert "the pool has 2 of 10 connections in use" in found.seen
    assert "would only move the queue" in found.fix


def test_a_larger_pool_could_feed_more_threads() -> None:
    larger = changed(THREADS.window, lambda snapshot: replace(snapshot, capacity=80))
    assert "total_tokens up to the pool's 80 connections" in explain(larger)[0].fix


def test_a_peak_of_threads_is_no_error() -> None:
    (found,) = explain(THREADS.window[-1:])
    assert (found.code, found.severity, found.confidence) == (
        "thread-starvation",
        Severity.WARNING,
        Confidence.POSSIBLE,
    )


@pytest.mark.parametrize("threads", [Threads(40, 40, 0), Threads(40, 12, 3), Threads(None, 500, 0)])
def test_threads_for_which_nobody_waits_are_healthy(threads: Threads) -> None:
    assert codes(window(threads=threads)) == []


def test_threads_that_wait_for_a_full_pool_are_not_the_cause() -> None:
    assert "thread-starvation" not in codes(full(holders(), threads=Threads(40, 40, 20)))


# Deadlocks


def test_a_deadlock_names_the_latest_statement_its_route_and_its_line() -> None:
    found = the("deadlocks", window(since=20.0, deadlocks=Deadlocks(1, "UPDATE a", "POST /a", "shop/a.py:3 in take")))
    assert "1 statement ended by the server to break a deadlock" in found.seen
    assert "the latest: UPDATE a by POST /a at shop/a.py:3 in take" in found.seen
    assert (found.severity, found.subject) == (Severity.INFO, "POST /a")


def test_deadlocks_before_the_window_are_past() -> None:
    assert codes(window(since=60.0, deadlocks=Deadlocks(9, "UPDATE a"))) == []


# Pools


def test_two_pools_for_one_database_are_meant() -> None:
    assert codes(window(since=20.0, pools=Pools(2, 12, 30))) == []


def test_pools_that_become_more_are_told_early() -> None:
    def rising(snapshot: PoolSnapshot) -> PoolSnapshot:
        return replace(snapshot, pools=Pools(1 + int(snapshot.at - 940.0) // 15, 9, None))

    found = the("engine-per-request", changed(window(), rising))
    assert "5 pools of this process lead to the same database, 4 more than 60 s ago" in found.seen
    assert "9 connections open, without a limit" in found.seen
    assert (found.severity, found.confidence) == (Severity.WARNING, Confidence.CERTAIN)


# Sessions of earlier processes


def earlier(count: int, **known: object) -> tuple[ServerSession, ...]:
    usual = {"application": "shop/web-1/7", "state": "idle", "state_seconds": 4.0, "session_seconds": 900.0}
    return tuple(session(number, **(usual | known)) for number in range(count))


def test_sessions_of_ended_processes_are_counted_apart() -> None:
    there = deployed(
        *earlier(12, client_ended=True), *earlier(9, application="shop/web-3/4", state_seconds=600.0), *earlier(6)
    )
    found = explain(REFUSED, there)[0]
    assert (found.code, found.subject, found.confidence) == ("deploy-overlap", "shop", Confidence.LIKELY)
    assert "27 of 60 connections (of 60 allowed) belong to 2 other processes of shop" in found.seen
    assert "12 of processes that have ended, 9 silent for up to 600 s, 6 opened before this process" in found.seen


def test_older_processes_that_work_are_perhaps_to_stay() -> None:
    findings = explain(REFUSED, deployed(*earlier(40)))
    assert [finding.code for finding in findings][:2] == ["server-full", "deploy-overlap"]
    assert (findings[1].severity, findings[1].confidence) == (Severity.WARNING, Confidence.POSSIBLE)
    assert "two generations" in findings[1].fix


@pytest.mark.parametrize(
    "there",
    [
        deployed(*earlier(40, session_seconds=20.0)),
        replace(deployed(*earlier(40)), process_seconds=7200.0),
        replace(deployed(*earlier(40, client_ended=True)), application="psql"),
        deployed(*earlier(40, application="billing/web-1/7", client_ended=True)),
        deployed(*earlier(40, application="shop/web-2/31", client_ended=True)),
        deployed(*earlier(2, client_ended=True)),
    ],
    ids=["siblings", "no deployment", "unknown who we are", "another service", "our own", "a few"],
)
def test_what_is_no_earlier_deployment(there: ServerFacts) -> None:
    assert "deploy-overlap" not in codes(REFUSED, there)


def test_what_is_left_behind_is_told_before_the_server_is_full() -> None:
    there = replace(deployed(*earlier(40, client_ended=True)), ordinary=Ceiling(100, 92))
    assert explain(window(), there)[0].severity is Severity.WARNING
    assert codes(window(), replace(there, ordinary=Ceiling(100, 60))) == []
    assert codes(window(), facts(*sessions(2, state_seconds=0.001))) == []


@pytest.mark.parametrize(
    "application", [None, "", "shop", "shop/web", "shop/web/x", "a/b/c/4", "shop/web/²", f"shop/{'w' * 60}/4"]
)
def test_names_of_others_are_not_taken_for_ours(application: str | None) -> None:
    assert ClientName.parse(application) is None
    assert ClientName.parse("shop/web-1/7") == ("shop", "web-1", 7)
