"""A drill of an app of which nothing is known but its paths: what is expected can fail, and what is unknown is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.drill.made_up import good_figures, observed, ok

from poolkeeper.drill import ServiceFailed
from poolkeeper.drill.figures import Figures, figures_of
from poolkeeper.drill.ground import embedded_ground
from poolkeeper.drill.own_app import OwnApp
from poolkeeper.drill.own_app_scenarios import own_app_scenarios
from poolkeeper.drill.paths import PathLoad
from poolkeeper.drill.phased import Outcome
from poolkeeper.drill.play import Played
from poolkeeper.drill.report import Report, page
from poolkeeper.drill.run import drill
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.verdict import judge

HERE = Path(__file__).parent
APP = OwnApp("bare_app:app", ("/products",), HERE, database_env="SHOP_DB")
THERE = own_app_scenarios(APP.paths)
MORE = {
    "overload": {
        "times the capacity": 8.0,
        "share of capacity": 0.9,
        "goodput per second": 35.0,
        "capacity per second": 39.0,
    },
    "restart": {"in flight": 3.0},
}
SPOILERS: list[dict[str, Any]] = [
    {"behind_ms": 5000.0},
    {"ok": 0},
    {"failed": 99},
    {"refused": 9},
    {"healthy_after": None},
    {"connects_in_100_ms": 99},
    {"backends_left": 1},
]


def figures(name: str, **changes: Any) -> Figures:
    good = replace(good_figures(name), stack="app", books=None, wrong=None, slots_left=None, more=MORE.get(name, {}))
    return replace(good, **changes)


def played(name: str, **changes: Any) -> Played:
    found = figures(name, **changes)
    return Played(THERE[name], APP, found, judge(found, THERE[name].expect(found)))


@pytest.mark.parametrize("scenario", THERE.values(), ids=list(THERE))
def test_every_expectation_can_hold_and_can_fail(scenario: Scenario) -> None:
    spoilers = [*SPOILERS, *({"more": {**MORE.get(scenario.name, {}), name: 0.0}} for name in MORE.get("overload", {}))]
    good = played(scenario.name)
    assert good.verdict.good, good.verdict.reason
    failing = {c.what for each in spoilers for c in played(scenario.name, **each).verdict.checks if not c.holds}
    assert failing == {check.what for check in good.verdict.checks}
    assert good.scenario.question.endswith("?")
    assert good.scenario.chief[1](good.figures)


def test_books_that_nobody_can_check_are_not_said_to_be_right() -> None:
    seen = observed(ok(0.1), books=None, in_use=None)
    found = figures_of(seen, {})
    assert (found.wrong, found.books, found.slots_left) == (None, None, None)
    report = Report("2026-01-02T03:04:05Z", 9.0, {}, [played("kill-idle")])
    (note,) = report.notes
    assert note.startswith("the books were not checked")
    assert note in page(report)
    assert report.as_dict()["notes"] == [note]
    assert not any(check.what == "wrong results" for check in report.played[0].verdict.checks)


def test_goodput_under_overload_is_measured_against_the_calm_before() -> None:
    outcomes = [ok(second + part / 10) for second in range(6) for part in range(10)]
    late = Outcome("/products", 2.0, 2.0, None, "timeout")
    found = THERE["overload"].measure(observed(*outcomes, late, counts={"capacity": 20.0}))
    assert (found["goodput per second"], found["share of capacity"]) == (10, 0.5)
    assert found["times the capacity"] == 10
    dead = THERE["overload"].measure(observed(late, counts={"capacity": 0.0}))
    assert not played("overload", more=dead).verdict.good


def test_the_load_asks_for_each_path_in_turn_at_its_rate() -> None:
    wanted = PathLoad(("/products", "/orders"), ((4, 0.5), (1, 2)))
    load = wanted.load("http://127.0.0.1:1")
    calls = [load._traffic.next() for _ in range(3)]
    assert {call.method for call in calls} == {"GET"}
    assert [call.path for call in calls] == ["/products", "/orders", "/products"]
    assert 204 in calls[0].expected
    assert 409 not in calls[0].expected
    assert wanted.seconds == 2.5


def test_settings_of_a_pool_reach_the_app_and_no_other_database_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_POOL_SIZE", "7")
    monkeypatch.setenv("DATABASE_REPLICA_URLS", "postgresql://me:hush@production/shop")
    monkeypatch.setenv("DATABASE_PASSWORD", "hush")
    told = APP.settings(THERE["latency"])
    assert told["DATABASE_POOL_SIZE"] == "7"
    assert told.keys().isdisjoint({"DATABASE_REPLICA_URLS", "DATABASE_PASSWORD", "SHOP_DB"})


@pytest.mark.slow
def test_an_app_without_poolkeeper_is_drilled_and_its_failures_are_counted() -> None:
    scenarios, app = [THERE["kill-idle"]], replace(APP, prepare="python make_tables.py")
    with embedded_ground() as ground:
        report = drill(scenarios, [app], ground, begins=lambda *_: None, ended=lambda _: None)
        (run,) = report.played
        # The pool of 5 has no way of knowing; the first who meets a dead connection fails.
        assert 1 <= run.figures.failed <= 15
        assert run.figures.ok + run.figures.failed == run.figures.requests == 69
        assert not report.good
        assert "kill-idle, app: failed requests" in report.reasons
        with pytest.raises(ServiceFailed, match="exited with 3"):
            drill(scenarios, [replace(APP, prepare="sh -c 'exit 3'")], ground, begins=print, ended=print)
