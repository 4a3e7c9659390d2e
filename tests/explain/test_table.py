"""All scenarios against all rules: which rules speak, and that no other cause comes first."""

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
