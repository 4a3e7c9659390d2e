from __future__ import annotations

from dataclasses import replace

import pytest
from tests.diagnosis.cases import ARITHMETIC_CAUSES, CAUSES, QUIET, Cause
from tests.diagnosis.windows import ROUTE, SITE, changed, facts, full, holders, sessions, window

from poolkeeper.diagnosis import explain
from poolkeeper.model import Confidence, Finding, PoolSnapshot, Severity


def name(cause: Cause) -> str:
    return cause.code


def alone(cause: Cause) -> bool:
    return cause.facts is None or cause.decided_alone


def told(findings: tuple[Finding, ...]) -> list[str]:
    return [f"{finding.severity} {finding}" for finding in findings]


@pytest.mark.parametrize("cause", [*CAUSES, *QUIET], ids=name)
def test_the_first_finding_is_the_cause(cause: Cause) -> None:
    findings = explain(cause.window, cause.facts)
    assert findings, "nothing found"
    assert findings[0].code == cause.code, told(findings)


@pytest.mark.parametrize("cause", [cause for cause in CAUSES if alone(cause)], ids=name)
def test_no_server_is_needed_for_what_the_pool_shows(cause: Cause) -> None:
    findings = explain(cause.window)
    assert findings[0].code == cause.code, told(findings)


@pytest.mark.parametrize("cause", [cause for cause in CAUSES if not alone(cause)], ids=name)
def test_without_the_server_it_says_that_it_cannot_tell(cause: Cause) -> None:
    first = explain(cause.window)[0]
    assert first.confidence is not Confidence.CERTAIN or first.unseen
    assert any("server" in text or "limit" in text for text in first.unseen), told((first,))


# Many short statements in one hold show in what holds have taken.
OF_HOLDERS = [cause for cause in CAUSES if cause.names_holders and cause.code != "many-statements"]


@pytest.mark.parametrize("cause", OF_HOLDERS, ids=name)
def test_one_moment_is_enough_to_see_who_holds_what(cause: Cause) -> None:
    assert explain(cause.window[-1:], cause.facts)[0].code == cause.code


@pytest.mark.parametrize("cause", [cause for cause in CAUSES if cause.code != "failover"], ids=name)
@pytest.mark.parametrize("seconds", [6, 12])
def test_a_history_that_has_just_begun_does_not_mislead(cause: Cause, seconds: int) -> None:
    findings = explain(cause.window[-seconds // 2 - 1 :], cause.facts)
    assert findings == () or findings[0].code == cause.code, told(findings)
    assert findings or not cause.names_holders


# Three statements are too few to be called all.
@pytest.mark.parametrize("cause", [cause for cause in OF_HOLDERS if cause.code != "server-saturated"], ids=name)
def test_small_pools_are_judged_alike(cause: Cause) -> None:
    """The ten holders of a case are alike, but for the one at the end."""
    kept = [*range(2), -1]

    def small(snapshot: PoolSnapshot) -> PoolSnapshot:
        if not snapshot.holders:
            return snapshot
        held = tuple(snapshot.holders[index] for index in kept)
        return replace(snapshot, capacity=3, in_use=3, waiting=min(5, snapshot.waiting), holders=held)

    assert explain(changed(cause.window[-10:], small), cause.facts)[0].code == cause.code


@pytest.mark.parametrize("cause", CAUSES, ids=name)
def test_findings_are_short_and_whole(cause: Cause) -> None:
    for finding in explain(cause.window, cause.facts):
        assert len(finding.seen) <= 200
        assert "\n" not in finding.seen
        assert finding.subject
        assert finding.confidence is not None
        assert finding.figures
        assert not any(text.endswith(".") for text in (finding.seen, finding.why, finding.fix))


@pytest.mark.parametrize("cause", [cause for cause in CAUSES if cause.names_holders], ids=name)
def test_findings_about_holders_name_route_and_call_site(cause: Cause) -> None:
    first = explain(cause.window, cause.facts)[0]
    assert ROUTE in first.seen
    assert SITE in first.seen
    assert first.subject == ROUTE
    assert (first.figures["route"], first.figures["site"]) == (ROUTE, SITE)


@pytest.mark.parametrize("cause", [cause for cause in CAUSES if cause not in ARITHMETIC_CAUSES], ids=name)
def test_what_makes_callers_wait_is_an_error(cause: Cause) -> None:
    assert explain(cause.window, cause.facts)[0].severity is Severity.ERROR


@pytest.mark.parametrize("cause", QUIET, ids=name)
def test_what_makes_nobody_wait_is_none(cause: Cause) -> None:
    assert {finding.severity for finding in explain(cause.window, cause.facts)} <= {Severity.WARNING, Severity.INFO}


def test_a_healthy_pool_has_no_findings() -> None:
    assert explain(window(seconds=300.0)) == ()
    assert explain(window(seconds=300.0), facts(*sessions(2, state_seconds=0.001))) == ()
    assert explain(()) == ()


def test_a_busy_pool_is_healthy() -> None:
    held = holders(9, state_seconds=0.003, seconds=0.006)
    load = {"rate": 1400.0, "wait": 0.002, "waited": 0.2, "in_sql": 0.005, "out": 9}
    assert explain(window(seconds=300.0, since=280.0, load=load, in_use=9, idle=1, holders=held)) == ()


def test_a_long_report_on_a_pool_with_room_is_healthy() -> None:
    assert explain(window(seconds=300.0, in_use=1, idle=9, holders=holders(1, state_seconds=12.0, seconds=13.0))) == ()


def test_a_full_pool_of_brief_holders_without_a_queue_is_healthy() -> None:
    held = holders(10, state_seconds=0.003, seconds=0.006)
    assert explain(window(since=4.0, in_use=10, idle=0, holders=held)) == ()


def test_a_pool_that_was_made_anew_is_not_compared_with_the_one_before() -> None:
    old = changed(window(), lambda snapshot: replace(snapshot, at=snapshot.at - 60, opened=500))
    assert explain((*old, *window())) == ()


def test_a_single_leak_does_not_hide_what_holds_all_other_connections() -> None:
    held = (*holders(9), *holders(1, finished=True, in_sql=False))
    findings = explain(full(held), facts(*sessions()))
    assert [finding.code for finding in findings][:2] == ["slow-query", "leak"]


def test_holders_of_the_moment_when_callers_waited_are_judged() -> None:
    *before, last = full(holders())
    calm = replace(last, at=last.at + 2, holders=(), in_use=0, idle=10, waiting=0, oldest_waiter=None)
    first = explain((*before, last, calm))[0]
    assert (first.code, first.subject) == ("slow-query", ROUTE)


def test_facts_of_another_moment_are_not_believed() -> None:
    findings = explain(full(holders()), facts(at=100.0))
    assert findings[0].code == "slow-query"
    assert any("another moment" in text for text in findings[0].unseen)


def test_what_is_hidden_from_us_is_said() -> None:
    first = explain(full(holders()), facts(*sessions(), unseen=14))[0]
    assert "blind to 14 sessions: grant pg_monitor" in first.unseen


def test_a_stock_pool_says_what_it_cannot_tell() -> None:
    def stock(snapshot: PoolSnapshot) -> PoolSnapshot:
        return replace(snapshot, waiting=0, oldest_waiter=None, unknown=frozenset({"waiting", "connecting"}))

    first = explain(changed(full(holders()), stock))[0]
    assert first.code == "slow-query"
    assert "who waits: this pool cannot tell" in first.unseen
