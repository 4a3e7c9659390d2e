from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.drill.made_up import played

from poolkeeper.drill.play import Played
from poolkeeper.drill.report import Report, junit, markdown, page, surroundings
from poolkeeper.drill.report.svg import Line, chart
from poolkeeper.drill.run import those_who_play
from poolkeeper.drill.scenarios import scenarios
from poolkeeper.drill.stacks import LESSONS, STACKS
from poolkeeper.drill.subject import Reference

VOID = {"meta", "br"}


def report(*runs: Played) -> Report:
    return Report("2026-01-02T03:04:05Z", 12.5, surroundings("18.4"), runs)


@pytest.fixture
def found() -> Report:
    return report(
        played("commit-fails", "naive", wrong=30),
        played("commit-fails", "poolkeeper"),
        played("silent-drop", "naive", failed=5),
        played("silent-drop", "poolkeeper", failed=1),
    )


class Structure(HTMLParser):
    """Whether every element is closed by its own end, and what is written in them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.written = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.written += data


def test_the_verdict_is_about_poolkeeper_where_it_has_played(found: Report) -> None:
    assert not found.good
    assert report(*found.played[:2]).good
    assert not report(found.played[0]).good


def test_json_has_everything(found: Report) -> None:
    said = json.loads(json.dumps(found.as_dict()))
    assert [scenario["good"] for scenario in said["scenarios"]] == [True, False]
    naive = said["scenarios"][0]["runs"][0]
    assert (naive["stack"], naive["good"], naive["as_predicted"], naive["chief"]) == ("naive", False, True, "30 wrong")
    assert naive["figures"]["wrong"] == 30
    assert said["around"]["PostgreSQL"] == "18.4"
    assert said["scenarios"][1]["runs"][1]["settings"]["DATABASE_CLIENT_TIMEOUT"] == "3"


def test_junit_has_a_failure_where_the_verdict_is_not_good_and_skips_what_is_for_comparison(found: Report) -> None:
    suite = ElementTree.fromstring(junit(found)).find("testsuite")
    assert suite is not None
    assert [suite.get(name) for name in ("tests", "failures", "skipped", "errors")] == ["4", "1", "2", "0"]
    failures = [case for case in suite if case.find("failure") is not None]
    assert [(case.get("classname"), case.get("name")) for case in failures] == [("silent-drop", "poolkeeper")]
    assert "failed requests: 1" in (failures[0].find("failure").get("message") or "")  # type: ignore[union-attr]


def test_junit_judges_every_stack_where_poolkeeper_has_not_played(found: Report) -> None:
    suite = ElementTree.fromstring(junit(report(found.played[0], found.played[2]))).find("testsuite")
    assert suite is not None
    assert (suite.get("failures"), suite.get("skipped")) == ("2", "0")


def with_a_lesson(*runs: Played, **changes: Any) -> Report:
    lesson = Reference(LESSONS["bounds-first"])
    return report(*runs, replace(played("lessons", "naive", **changes), stack=lesson))


def test_what_plays_one_scenario_only_is_shown_with_it_and_not_judged() -> None:
    found = with_a_lesson(played("lessons", "guide"), failed=2)
    assert [stack.name for stack in found.stacks] == ["guide"]
    assert found.good
    assert not with_a_lesson(played("lessons", "guide", failed=1), failed=2).good
    (cases,) = ElementTree.fromstring(junit(found))
    assert [(case.get("name"), case.find("skipped") is None) for case in cases] == [
        ("guide", True),
        ("bounds-first", False),
    ]
    structure = Structure(page(found))
    assert structure.open == []
    assert "bounds-first" in structure.written
    # A key and three curves, of the guide alone.
    assert structure.seen.count("polyline") == 1 + 3


def test_lessons_are_played_where_the_reference_service_is() -> None:
    lessons, guide = scenarios()["lessons"], Reference(STACKS["guide"])
    assert [each.name for each in those_who_play(lessons, [guide])] == ["guide", *LESSONS]
    assert those_who_play(scenarios()["leak"], [guide]) == [guide]


def test_the_page_is_whole_and_shows_what_was_asked_and_found(found: Report) -> None:
    structure = Structure(page(found))
    assert structure.open == []
    # A key for each stack, and three curves for each scenario.
    assert structure.seen.count("svg") == 2 + 3 * 2
    for run in found.played:
        assert run.scenario.question in structure.written
        assert run.scenario.predicted in structure.written
        assert (run.verdict.reason or "as expected") in structure.written
    assert "Not as predicted." in structure.written
    assert "prefers-color-scheme: dark" in structure.written
    assert "@media print" in structure.written


def test_connects_at_once_have_a_column_and_are_in_the_json() -> None:
    run = played("restart-fast", "naive", connects_at_once=17, connects_in_100_ms=43)
    hidden = played("never-accepting-host", "naive", connects_at_once=None, connects_in_100_ms=43)
    said = report(run, hidden)
    seen, unseen = (scenario["runs"][0]["figures"] for scenario in said.as_dict()["scenarios"])
    assert (seen["connects_at_once"], seen["connects_in_100_ms"]) == (17, 43)
    assert unseen["connects_at_once"] is None
    assert "<th>at once</th><th>in 100 ms</th>" in page(said)
    assert "<td>17</td><td>43</td>" in page(said)
    assert "<td>-</td><td>43</td>" in page(said)


def test_the_page_needs_nothing_beside_itself(found: Report) -> None:
    html = page(found)
    assert not [word for word in ("src=", "http://", "https://", "@import", "url(", "<script") if word in html]


def test_what_is_written_elsewhere_is_escaped(found: Report) -> None:
    evil = replace(found.played[0], scenario=replace(found.played[0].scenario, question="<script>alert(1)</script>?"))
    assert "<script" not in page(report(evil))


def test_markdown_has_every_figure_of_every_run_side_by_side(found: Report) -> None:
    written = markdown(found)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in written.splitlines() if line[:1] == "|"]
    assert {len(row) for row in rows[:4]} == {6}
    assert rows[2][:3] == ["[commit-fails](#commit-fails)", "good", ""]
    assert rows[2][4:] == ["**30 wrong**, not met", "0 wrong"]
    assert rows[3][1] == "**not good**"
    assert ["wrong", "30", "0"] in rows
    assert ["failed", "5", "1"] in rows
    for run in found.played:
        assert run.scenario.question in written
        assert run.verdict.reason in written
    assert "**Not as predicted.**" in written


def test_what_did_as_well_as_poolkeeper_is_named() -> None:
    found = report(*(played("silent-drop", stack, failed=stack == "naive") for stack in STACKS))
    assert "| good | guide, tuned |" in markdown(found)
    assert "guide, tuned" in Structure(page(found)).written


def test_markdown_takes_nothing_written_elsewhere_for_its_own(found: Report) -> None:
    evil = replace(found.played[0], scenario=replace(found.played[0].scenario, question="<b>|a|* `b`?"))
    assert "\\<b>\\|a\\|\\* `b`?" in markdown(report(evil))


def test_a_curve_breaks_where_there_is_nothing_to_show() -> None:
    line = Line("naive", 0, [(0.0, 5.0), (1.0, None), (2.0, 7.0), (3.0, 8.0)])
    drawn = ElementTree.fromstring(chart("p99 < 1 s", [line], (1.0, 2.0)))
    points = [(found.get("points") or "").split() for found in drawn.iter("polyline")]
    assert [len(each) for each in points] == [1, 2]
    heights = [float(point.partition(",")[2]) for each in points for point in each]
    # More is higher up, where y is less.
    assert heights == sorted(heights, reverse=True)
    (band,) = drawn.iter("rect")
    assert float(band.get("width") or 0) > 0


def test_a_curve_of_nothing_is_drawn() -> None:
    assert ElementTree.fromstring(chart("none", [Line("naive", 0, [])], (0.0, 0.0))).tag == "svg"


def test_what_was_left_out_is_in_every_report_with_its_reason(found: Report) -> None:
    without = replace(found, left_out={"restart-fast": "it restarts <the> server"})
    assert without.as_dict()["left_out"] == {"restart-fast": "it restarts <the> server"}
    assert "left out: restart-fast: it restarts <the> server" in Structure(page(without)).written
    suite = ElementTree.fromstring(junit(without)).find("testsuite")
    assert suite is not None
    case = suite.find("testcase[@classname='restart-fast']/skipped")
    assert case is not None
    assert case.get("message") == "it restarts <the> server"
    assert (suite.get("tests"), suite.get("skipped")) == ("5", "3")


def test_the_reasons_name_every_run_that_was_not_as_expected(found: Report) -> None:
    assert [line.partition(":")[0] for line in found.reasons.splitlines()] == [
        "commit-fails, naive",
        "silent-drop, naive",
        "silent-drop, poolkeeper",
    ]
    assert report(*found.played[1:2]).reasons == ""
