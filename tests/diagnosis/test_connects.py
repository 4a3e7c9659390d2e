from __future__ import annotations

from dataclasses import replace

import pytest
from tests.diagnosis.cases import trouble
from tests.diagnosis.windows import facts, full, holders, session, window

from poolkeeper import ConnectFailure
from poolkeeper.diagnosis import explain
from poolkeeper.model import Ceiling, Confidence, ConnectTrouble, PoolerFacts, Severity


@pytest.mark.parametrize("kind", ConnectFailure)
def test_every_way_to_fail_is_explained(kind: ConnectFailure) -> None:
    findings = explain(window(in_use=0, idle=0, connect_trouble=ConnectTrouble(kind, "no", None, 3.0, 2)))
    assert len(findings) == 1
    assert findings[0].severity is Severity.ERROR
    assert kind.value in findings[0].seen


@pytest.mark.parametrize("kind", ConnectFailure)
def test_what_is_over_is_told_as_over(kind: ConnectFailure) -> None:
    first = explain(window(since=20.0, load={"connect_failures": {kind.value: 4}}))[0]
    assert (first.severity, first.confidence) == (Severity.WARNING, Confidence.LIKELY)
    assert "connects failed lately" in first.seen
    assert "the error itself: connects succeed again" in first.unseen


def test_a_full_server_names_who_takes_its_connections() -> None:
    taken = (*(session(n, application="reports") for n in range(30)), session(99, application="orders"))
    cause = trouble("server-full", "too-many-connections", "zu viele Verbindungen")
    first = explain(cause.window, facts(*taken, ordinary=Ceiling(97, 97)))[0]
    assert first.code == "server-full"
    assert "97 of 97 connections taken (reports 30, orders 1)" in first.seen
    assert first.confidence is Confidence.CERTAIN


def test_a_full_server_is_no_error_while_the_pool_has_what_it_needs() -> None:
    wanted = ConnectTrouble("too-many-connections", "sorry, too many clients already", "53300", 3.0, 2)
    first = explain(window(connect_trouble=wanted))[0]
    assert (first.code, first.severity) == ("server-full", Severity.WARNING)


def test_it_is_one_where_callers_have_waited_although_none_does_at_this_moment() -> None:
    wanted = ConnectTrouble("too-many-connections", "sorry, too many clients already", "53300", 3.0, 2)
    load = {"wait": 0.4, "waited": 0.9}
    first = explain(window(since=20.0, connect_trouble=wanted, in_use=1, idle=0, load=load))[0]
    assert (first.code, first.severity) == ("server-full", Severity.ERROR)


def test_a_failing_connect_comes_before_what_holders_do() -> None:
    refused = ConnectTrouble("refused", "Connect call failed", None, 3.0, 2)
    snapshots = full(holders())
    findings = explain((*snapshots[:-1], replace(snapshots[-1], connect_trouble=refused)))
    assert [finding.code for finding in findings][:2] == ["connect-refused", "slow-query"]


@pytest.mark.parametrize(("active", "why"), [(0, "down"), (20, "all busy")])
def test_a_poolers_timeout_says_which_side_to_look_at(active: int, why: str) -> None:
    cause = trouble("pooler-wait-timeout", "timeout", "query_wait_timeout", "08003")
    assert why in explain(cause.window, facts(pooler=PoolerFacts(8, 3.0, active, 20)))[0].why
    alone = explain(cause.window)[0]
    assert alone.confidence is Confidence.LIKELY
    assert alone.unseen == ("the pooler: no facts of its console",)


def test_a_limit_that_is_not_the_servers_is_not_blamed_on_the_server() -> None:
    for text, code in (("for role", "role-limit"), ("for database", "database-limit")):
        cause = trouble(code, "too-many-connections", f'too many connections {text} "shop"', "53300")
        first = explain(cause.window)[0]
        assert (first.code, first.unseen) == (code, ("the limit itself: no server facts",))


@pytest.mark.parametrize("whose", ["roles with the SUPERUSER attribute", 'roles with privileges of the role "r"'])
def test_slots_that_are_kept_for_roles_are_the_servers_limit(whose: str) -> None:
    said = f"remaining connection slots are reserved for {whose}"
    assert explain(trouble("server-full", "too-many-connections", said, "53300").window)[0].code == "server-full"


def test_one_session_that_somebody_ended_is_no_failover() -> None:
    assert explain(window(since=10.0, closed={"sqlstate": 1})) == ()
