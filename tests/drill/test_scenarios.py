"""Every scenario's verdict can be good, and every expectation of it can fail. No server is needed for that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.docs.pages import ROOT, table_rows
from tests.drill.made_up import failed, good_figures, observed, ok, played, samples

from poolkeeper.drill import pooler
from poolkeeper.drill import scenarios as folder
from poolkeeper.drill.phased import Outcome
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.scenarios import scenarios
from poolkeeper.drill.stacks import STACKS
from poolkeeper.drill.verdict import Verdict, judge

ALL = list(scenarios())
SPOILERS: list[dict[str, Any]] = [
    {"wrong": 1},
    {"behind_ms": 5000.0},
    {"ok": 0},
    {"failed": 99},
    {"failed": 0},
    {"refused": 99},
    {"healthy_after": None},
    {"connects": 999},
    {"connects_at_once": 99},
    {"connects_in_100_ms": 99},
    {"backends_left": 1},
    {"slots_left": 19},
    {"causes": ("burst",)},
]


def verdict(scenario: Scenario, **changes: Any) -> Verdict:
    figures = good_figures(scenario.name, **changes)
    return judge(figures, scenario.expect(figures))


def spoiled(scenario: Scenario) -> Iterator[Verdict]:
    """The verdicts where one thing went wrong."""
    for changes in SPOILERS:
        yield verdict(scenario, **changes)
    more = good_figures(scenario.name).more
    for name in more:
        for value in (0.0, 1e6):
            yield verdict(scenario, more=more | {name: value})


@pytest.mark.parametrize("name", ALL)
def test_a_stack_that_does_well_is_judged_good(name: str) -> None:
    assert verdict(scenarios()[name]).reason == ""


@pytest.mark.parametrize("name", ALL)
def test_every_expectation_can_fail(name: str) -> None:
    scenario = scenarios()[name]
    expected = {check.what for check in verdict(scenario).checks}
    failing = {check.what for each in spoiled(scenario) for check in each.checks if not check.holds}
    assert failing == expected


@pytest.mark.parametrize("name", ALL)
def test_a_wrong_result_is_never_good(name: str) -> None:
    found = verdict(scenarios()[name], wrong=1)
    assert not found.good
    assert "wrong results: 1" in found.reason


def test_every_file_is_a_scenario_of_its_name() -> None:
    files = {path.stem for path in Path(folder.__file__).parent.glob("*.py")} - {"__init__"}
    assert {name.replace("-", "_") for name in scenarios()} == files


def test_the_guide_tells_of_every_scenario_and_stack() -> None:
    guide = ROOT / "docs/guides/drill.md"
    assert [row[0].strip("`") for row in table_rows(guide, "Scenario")] == ALL
    assert [row[0].strip("`") for row in table_rows(guide, "Stack")] == list(STACKS)


@pytest.mark.parametrize("name", ALL)
def test_a_scenario_says_what_it_is_about(name: str) -> None:
    scenario = scenarios()[name]
    assert scenario.question.endswith("?")
    assert scenario.predicted.endswith(".")
    assert scenario.breaks < {*STACKS, *(stack.name for stack in scenario.extra)}
    assert scenario.chief[1](good_figures(name))


def test_the_quick_ones_are_quick_enough_for_all_stacks() -> None:
    quick = [scenario for scenario in scenarios().values() if scenario.quick]
    assert 4 <= len(quick) <= 6
    # Of 180 s, a run's service, load process and ends take about 4.
    assert sum(scenario.load.seconds + 4 for scenario in quick) * len(STACKS) <= 180


def test_a_run_is_as_predicted_when_those_break_that_should() -> None:
    assert played("stale-after-idle", "naive", failed=1).as_predicted
    assert not played("stale-after-idle", "naive").as_predicted
    assert played("stale-after-idle", "poolkeeper").as_predicted
    assert not played("stale-after-idle", "poolkeeper", failed=1).as_predicted


def test_who_was_in_flight_when_the_server_stopped_may_fail() -> None:
    scenario = scenarios()["restart-fast"]
    seen = observed(ok(0.5), failed(0.99, 0.05), failed(1.02), ok(2.5), marks={"fault": 1.0, "down": 1.1, "over": 2.0})
    assert scenario.measure(seen) == {"in flight": 2}
    assert verdict(scenario, failed=2, more={"in flight": 2}).good
    assert not verdict(scenario, failed=3, more={"in flight": 2}).good


@pytest.mark.parametrize("name", ["restart-fast", "restart-immediate", "pgbouncer-restart-session", "role-limit"])
def test_no_more_than_four_connects_are_under_way_to_a_server_that_comes_back(name: str) -> None:
    scenario = scenarios()[name]
    assert verdict(scenario, connects_at_once=4, connects_in_100_ms=40).good
    assert "connects under way at once: 5" in verdict(scenario, connects_at_once=5).reason
    # Where encryption hides it, there is nothing to judge.
    assert verdict(scenario, connects_at_once=None).good


def test_the_table_tells_of_connects_where_they_can_be_told() -> None:
    _, told = scenarios()["restart-fast"].chief
    assert told(good_figures("restart-fast", failed=3)) == "3 failed, 2 connects at once"
    assert told(good_figures("restart-fast", connects_at_once=None)) == "0 failed"


def test_replacements_that_are_spread_come_at_twice_the_even_pace_at_most() -> None:
    scenario = scenarios()["synchronised-expiry"]
    # Of 20 over the last 0.8 s of their age, 2.5 in each 100 ms.
    assert verdict(scenario, connects_in_100_ms=7).good
    assert not verdict(scenario, connects_in_100_ms=8).good
    assert not verdict(scenario, connects_in_100_ms=7, slots=10).good


def test_only_those_of_the_wave_whom_a_pooler_has_no_server_connection_for_may_be_refused() -> None:
    scenario = scenarios()["pgbouncer-queue-session"]
    assert verdict(scenario, refused=12).good
    assert not verdict(scenario, refused=13).good
    # A smaller pool sends fewer of them on.
    assert verdict(scenario, refused=7, slots=15, slots_left=15).good
    assert not verdict(scenario, refused=8, slots=15, slots_left=15).good
    # In transaction mode none has to be.
    assert not verdict(scenarios()["pgbouncer-queue-transaction"], refused=1).good


def test_goodput_counts_what_ended_under_overload_against_the_stacks_own_pool() -> None:
    scenario = scenarios()["overload-x3"]
    # Each of 20 connections serves one after the other, and some end before or after what is counted.
    seen = observed(*(ok(0.0, 0.4 * wave) for wave in range(1, 16) for _ in range(20)), failed(3.0))
    assert scenario.measure(seen)["share of capacity"] == pytest.approx(1.0)
    assert scenario.measure(seen)["goodput per second"] == pytest.approx(50)
    assert scenario.measure(replace(seen, connections=40))["share of capacity"] == pytest.approx(0.5)


def test_a_cold_start_is_what_the_first_wave_waited_more_than_the_third() -> None:
    scenario = scenarios()["cold-start-of-20"]
    waves = [ok(begin, seconds) for begin, seconds in ((0.0, 0.3), (1.01, 0.2), (2.02, 0.1)) for _ in range(20)]
    found = scenario.measure(observed(*waves, samples=samples(0, 3, 14, 14)))
    assert (found["ratio"], found["opened by the first wave"]) == (pytest.approx(3.0), 14)


def test_only_what_the_service_had_before_the_signal_is_its_own() -> None:
    scenario = scenarios()["graceful-sigterm"]
    late = Outcome("transfer", 1.2, 0.0, None, "refused")
    found = scenario.measure(observed(ok(0.5, 0.2), ok(0.8, 0.3), Outcome("transfer", 0.7, 0.4, None, "cut off"), late))
    assert found == {"in flight": 2, "not answered": 1, "ended after s": 1.0}


def test_callers_who_left_are_counted() -> None:
    left = Outcome("abandoned", 0.2, 0.03, None, "timeout")
    assert scenarios()["cancelled-clients"].measure(observed(left, left, ok(0))) == {"callers who left": 2}


def test_while_the_network_is_slow_only_what_was_due_then_counts() -> None:
    seen = observed(ok(0.5, 0.005), ok(1.2, 0.4), ok(1.4, 0.5), ok(1.6, 0.6), failed(1.7, 3.0), ok(2.5, 0.005))
    assert scenarios()["latency-jump"].measure(seen) == {"p50 while slow ms": 500}


def transfer(due: float, seconds: float = 0.01, number: int | None = None) -> Outcome:
    return Outcome("transfer", due, seconds, 204, number=number)


@pytest.mark.parametrize("name", ["failover-promote", "planned-switchover"])
def test_the_first_write_after_a_promotion_is_no_read_and_none_from_before(name: str) -> None:
    marks = {"fault": 1.0, "down": 1.1, "promoted": 1.5, "over": 3.5}
    before = [transfer(0.99, 0.2), transfer(1.3, 0.1), ok(1.6)]
    found = scenarios()[name].measure(observed(*before, transfer(2.0, 0.3), marks=marks))
    assert found == {"in flight": 1, "first write after s": pytest.approx(0.8)}
    # Without one it is the rest of the run.
    found = scenarios()[name].measure(observed(*before, ok(5.4, 0.1), marks=marks))
    assert found["first write after s"] == pytest.approx(4.0)


def test_stale_is_what_its_caller_knew_to_be_done_and_a_reader_did_not_see() -> None:
    def look(due: float, number: int, status: int) -> Outcome:
        return Outcome("look", due, 0.01, status, number=number)

    seen = observed(
        transfer(0.0, 0.5, 1),
        transfer(1.0, 0.5, 2),
        # Nobody was told that this one is done.
        Outcome("transfer", 1.1, 3.0, None, "timeout", number=3),
        look(2.0, 1, 204),
        look(2.0, 2, 404),
        look(2.7, 2, 404),
        look(9.0, 2, 204),
        look(9.0, 3, 404),
    )
    assert scenarios()["replica-lag"].measure(seen) == {"looks": 4, "stale by s": pytest.approx(1.2)}


def test_who_met_a_closing_worker_is_cut_off_and_no_failure_of_a_deployment() -> None:
    scenario = scenarios()["rolling-deploy"]
    met, slow = Outcome("read", 1.0, 0.01, None, "cut off"), Outcome("transfer", 1.0, 0.4, None, "cut off")
    found = scenario.measure(observed(ok(0.5), met, slow, counts={"replaced": 2}))
    assert found == {"workers replaced": 2, "cut off": 1, "deployed after s": 1.0}
    assert not verdict(scenario, failed=2, more=found).good
    assert verdict(scenario, failed=1, more=found).good


def test_those_in_flight_when_a_worker_is_killed_may_fail() -> None:
    scenario = scenarios()["worker-sigkill"]
    marks = {"fault": 1.0, "down": 1.1, "over": 3.0}
    found = scenario.measure(observed(ok(0.5), failed(0.95, 0.1), ok(1.05, 0.1), ok(1.2), marks=marks))
    assert found == {"in flight": 2, "replaced after s": 2.0}
    assert verdict(scenario, failed=2, more=found).good
    assert not verdict(scenario, failed=3, more=found).good


def test_a_scenario_that_needs_a_pooler_says_so_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooler, "program", lambda: None)
    reasons = {name: scenario.missing() for name, scenario in scenarios().items() if scenario.missing()}
    assert set(reasons) == {name for name in ALL if "pgbouncer" in name}
    assert set(reasons.values()) == {"PgBouncer is not installed"}
