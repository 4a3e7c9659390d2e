"""Each cause, produced in the example service on real servers, comes first when the service is asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.explain.scenarios import SCENARIOS
from tests.explain.stage import Evidence

# The rest takes longer: the server is looked at every few seconds, and some causes take time to show.
QUICK = {"leak", "nested-checkout"}
each_cause = pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name, scenario in SCENARIOS.items()
        if scenario.cause is not None
    ],
)


@each_cause
def test_the_cause_comes_first_and_names_who_holds(name: str, recorded: Callable[[str], Evidence]) -> None:
    scenario, findings = SCENARIOS[name], recorded(name).findings
    assert findings, "nothing was found"
    first = findings[0]
    assert (first["code"], first["severity"]) == (scenario.cause, "error"), findings
    if scenario.route is not None:
        assert first["subject"] == first["figures"]["route"] == scenario.route
        assert scenario.route in first["seen"]
    if scenario.place is not None:
        file, _, function = scenario.place.partition(" in ")
        assert function
        site = first["figures"]["site"]
        path, _, rest = site.partition(":")
        assert path.endswith(file), site
        assert rest.partition(" in ")[0].isdigit()
        assert rest.endswith(f" in {function}")
        assert site in first["seen"]


@pytest.mark.slow
def test_a_service_under_ordinary_load_has_nothing_to_explain(recorded: Callable[[str], Evidence]) -> None:
    evidence = recorded("healthy")
    assert evidence.findings == []
    now = evidence.window[-1]
    assert now.totals.served > 50, now


@pytest.mark.slow
def test_the_call_that_keeps_a_transaction_open_is_named(recorded: Callable[[str], Evidence]) -> None:
    first = recorded("external-call").findings[0]
    assert "in charge (httpx/_client.py" in first["figures"]["awaiting"]
    assert "in an open transaction" in first["seen"]


def test_both_checkouts_of_a_nested_one_are_named(recorded: Callable[[str], Evidence]) -> None:
    first = recorded("nested-checkout").findings[0]
    assert "faults/nested_checkout.py:" in first["figures"]["waits_at"]
    assert first["figures"]["waits_at"].endswith(" in money_in_orders")


@pytest.mark.slow
def test_the_other_application_that_has_the_lock_is_named(recorded: Callable[[str], Evidence]) -> None:
    first = recorded("row-lock").findings[0]
    assert first["figures"]["blocker_application"] == "backoffice"
    assert "idle in transaction" in first["seen"]
