"""Second checkouts: those that wait, and those that the pool has refused before anybody looked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.diagnosis.windows import ROUTE, SECOND_SITE, SITE, changed, full, in_gap, nesting, window

from poolkeeper.diagnosis import explain
from poolkeeper.model import Confidence, Finding, PoolSnapshot, RefusalReason, Severity


def nested(snapshots: tuple[PoolSnapshot, ...]) -> Finding:
    (found,) = [one for one in explain(snapshots) if one.code == "nested-checkout"]
    return found


def test_a_refused_nested_checkout_is_told_with_both_lines_and_how_many() -> None:
    found = explain(nesting(waited=2.0))[0]
    assert (found.code, found.severity, found.confidence) == ("nested-checkout", Severity.ERROR, Confidence.CERTAIN)
    assert "80 second checkouts refused, 40 had to wait within 30 s" in found.seen
    assert f"{ROUTE} at {SITE} asked for another at {SECOND_SITE}" in found.seen
    assert (found.figures["refused"], found.figures["waited"], found.figures["waits_at"]) == (80, 40, SECOND_SITE)
    assert "pool_timeout" not in f"{found.seen} {found.why} {found.fix}"


def test_long_names_hide_neither_line() -> None:
    site = "a_customers_orders/a_long_name_of_a_module.py:1234 in place_an_order"
    waits_at = "a_customers_orders/another_long_name.py:1234 in write_the_audit_trail"
    route = "GET /customers/{customer_id}/orders/{order_id}/lines/{line_id}/returns"
    held = in_gap(awaiting=(), site=site, waits_at=waits_at, route=route)
    for snapshots in (nesting(site=site, waits_at=waits_at, route=route), full(held, waiting=10)):
        seen = explain(snapshots)[0].seen
        assert site in seen
        assert waits_at in seen


@pytest.mark.parametrize(("refused", "severity"), [(2.0, Severity.ERROR), (0.4, Severity.WARNING)])
def test_other_refusals_of_holders_are_the_cause_where_they_are_many(refused: float, severity: Severity) -> None:
    snapshots = nesting(RefusalReason.PREDICTED_WAIT, refused=refused)
    assert nested(snapshots).severity is severity
    assert ("undersized-pool" in [one.code for one in explain(snapshots)]) is (severity is Severity.WARNING)


@pytest.mark.parametrize(("waited", "severity"), [(18.0, Severity.ERROR), (3.0, Severity.WARNING)])
def test_second_checkouts_that_wait_are_the_cause_where_they_are_many(waited: float, severity: Severity) -> None:
    found = nested(nesting(refused=0, waited=waited, load={"refused": 0.0}))
    assert found.severity is severity
    assert f"{waited * 20:.0f} second checkouts had to wait" in found.seen


def test_waits_that_nobody_notices_are_no_error() -> None:
    assert nested(nesting(refused=0, waited=18.0, load={"refused": 0.0, "wait": 0.01})).severity is Severity.WARNING


def test_nested_checkouts_of_long_ago_are_no_news() -> None:
    assert "nested-checkout" not in [one.code for one in explain(nesting(ago=60.0)[-1:])]
    before = nesting()[-1].nested
    assert explain(changed(window(seconds=120.0), lambda snapshot: replace(snapshot, nested=before))) == ()


def test_holders_that_wait_and_those_that_were_refused_are_one_finding() -> None:
    held = in_gap(awaiting=(), waits_at=SECOND_SITE)
    mixed = changed(nesting(), lambda snapshot: replace(snapshot, holders=held if snapshot.waiting else ()))
    assert (nested(mixed).figures["refused"], nested(mixed).figures["connections"]) == (80, 10)
