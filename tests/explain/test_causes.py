"""Each cause, produced in the example service on real servers, comes first when the service is asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, table_rows
from tests.explain.scenarios import SCENARIOS
from tests.explain.stage import Evidence

from poolkeeper.diagnosis import explain
from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.order import ASIDES, CAUSES, REMAINDER, SIGNALS
from poolkeeper.model import Confidence, Finding

RULES = (*CAUSES, *REMAINDER, *ASIDES, *SIGNALS)
GUIDE = ROOT / "docs/guides/explain.md"
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


def first_of(findings: tuple[Finding, ...]) -> tuple[str | None, Confidence | None]:
    return (findings[0].code, findings[0].confidence) if findings else (None, None)


def spoken(evidence: Evidence) -> Iterator[Finding]:
    """What each rule says of it by itself, whatever the others say."""
    case = Case.of(evidence.window, evidence.facts, unanswered=evidence.unanswered)
    for rule in RULES:
        yield from rule(case)


def row(name: str, evidence: Evidence) -> str:
    findings = explain(evidence.window, evidence.facts, unanswered=evidence.unanswered)
    (code, sure), (blind_code, blind_sure) = first_of(findings), first_of(explain(evidence.window))
    others = ", ".join(f"{one.code} ({one.severity})" for one in spoken(evidence) if one.code != code)
    blind = f"{blind_code or 'nothing'} {blind_sure or ''}"
    return f"| {name} | {code or 'nothing'} | {sure or ''} | {others} | {blind.strip()} |"


@pytest.mark.slow
def test_no_other_rule_comes_first(recorded: Callable[[str], Evidence], tmp_path: Path) -> None:
    evidence = {name: recorded(name) for name in SCENARIOS}
    lines = [
        "| Scenario | First finding | Confidence | Other rules that speak | First without a look at the server |",
        "|---|---|---|---|---|",
        *(row(name, found) for name, found in evidence.items()),
    ]
    folder = Path(os.environ.get("POOLKEEPER_OUTPUT") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "causes.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    for name, scenario in SCENARIOS.items():
        found = explain(evidence[name].window, evidence[name].facts, unanswered=evidence[name].unanswered)
        assert first_of(found)[0] == scenario.cause, lines


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_nobody_is_sure_of_another_cause_on_the_way_there(name: str, recorded: Callable[[str], Evidence]) -> None:
    window = recorded(name).window
    for length in range(1, len(window) + 1):
        code, sure = first_of(explain(window[:length]))
        # What anybody can see is true, whatever the cause.
        assert code in {SCENARIOS[name].cause, "pool-full"} or sure is not Confidence.CERTAIN, window[length - 1]


def test_the_guide_tells_what_is_proved() -> None:
    told = {name: code.strip("`") for name, _, code in table_rows(GUIDE, "Scenario")}
    assert told == {name: scenario.cause or "nothing" for name, scenario in SCENARIOS.items()}
