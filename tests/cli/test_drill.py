"""`poolkeeper drill` as a user runs it: what it refuses, what it lists, and one scenario on real servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
from rich.console import Console
from tests.drill.made_up import played
from tests.servers import FreshDatabase

from poolkeeper.cli import main
from poolkeeper.cli.drill_screen import LiveScreen, Screen, show
from poolkeeper.drill.own_app_scenarios import own_app_scenarios
from poolkeeper.drill.report import Report
from poolkeeper.drill.scenarios import scenarios
from poolkeeper.drill.stacks import STACKS


class Done(NamedTuple):
    returncode: int
    output: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The command in this process, where nothing is played."""

    def here(*arguments: str) -> Done:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["poolkeeper", "drill", *arguments])
            with pytest.raises(SystemExit) as left:
                main()
        return Done(int(left.value.code or 0), "".join(capsys.readouterr()))

    return here


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not one of pytest's folders: the embedded PostgreSQL may not run as root and has to reach its files."""
    with tempfile.TemporaryDirectory(prefix="drill-") as name:
        Path(name).chmod(0o755)
        (Path(name) / "tmp").mkdir()
        yield Path(name)


def test_the_list_has_every_scenario_and_stack(run: Callable[..., Done]) -> None:
    done = run("--list")
    assert done.returncode == 0
    for scenario in scenarios().values():
        assert scenario.name in done.output
    for stack in STACKS.values():
        assert stack.summary in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["restart-fats"], "there is no scenario 'restart-fats'"),
        (["--stack", "mine"], "there is no stack 'mine'; there are: naive, guide, tuned, poolkeeper"),
        (["leak", "--all"], "--all and names exclude each other"),
        (["--app", "shop:app"], "--app needs at least one --path"),
        (["--app", "shop:app", "--path", "products"], "--app needs at least one --path"),
        (["--app", "shop", "--path", "/products"], "--app is module:app"),
        (["--app", "shop:app", "--path", "/", "--scheme", "mysql"], "--scheme is one of PostgreSQL"),
        (["--app", "shop:app", "--path", "/", "--url", "postgresql://shop/x"], "--app and --url exclude each other"),
        (["--app", "shop:app", "--path", "/", "--stack", "naive"], "--app and --stack exclude each other"),
        (["--app", "shop:app", "--path", "/", "leak"], "there is no scenario 'leak'; there are: kill-idle"),
        (["--path", "/products"], "--path is for --app"),
        (["--url", "postgresql://shop/x"], "--yes begins without asking"),
        (
            ["restart-fast", "--url", "postgresql://shop/x", "--yes"],
            "nothing is left to play: restart-fast: it restarts",
        ),
        (["--url", "shop", "--yes"], "--url: it does not begin with dialect+driver://"),
        (["--url", "sqlite:///shop.db", "--yes"], "a drill needs PostgreSQL"),
        (["--json", "/nowhere/out.json"], "there is no folder /nowhere"),
        (["--html", "/nowhere/out.html"], "there is no folder /nowhere"),
        (["--junit", "/nowhere/out.xml"], "there is no folder /nowhere"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_is_started(
    run: Callable[..., Done], arguments: list[str], said: str
) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    # The message is wrapped and framed.
    assert said in " ".join(done.output.replace("│", " ").split())


def test_the_table_has_each_figure_and_what_was_not_as_predicted(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [played("commit-fails", "naive", wrong=30), played("commit-fails", "poolkeeper")]
    runs += [played("silent-drop", "naive"), played("silent-drop", "poolkeeper", failed=1)]
    show(Report("2026-01-02T03:04:05Z", 9.0, {}, runs))
    said = capsys.readouterr().out
    table, _, unexpected = said.partition("not as predicted")
    assert [line.split() for line in table.splitlines() if line.strip().startswith(("commit", "silent"))] == [
        ["commit-fails", "good", "30", "wrong", "(not", "met)", "0", "wrong", "(met)"],
        ["silent-drop", "not", "good", "0", "failed", "(met)", "1", "failed", "(not", "met)"],
    ]
    assert "silent-drop, naive: met its expectation" in unexpected
    assert "silent-drop, poolkeeper: failed requests: 1, at most 0 expected" in unexpected


class Terminal(StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_a_server_of_others_is_left_alone_unless_somebody_says_yes(
    run: Callable[..., Done], fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    done = run("restart-fast", "leak", "--url", fresh_database.url().replace("postgres@", "postgres:hush4711@"))
    assert done.returncode == 1
    assert "0 connections of others are open" in done.output
    assert "left out: restart-fast: it restarts the server" in done.output
    assert "Go on? [y/N]" in done.output
    assert done.output.endswith("nothing was done\n")
    assert "hush4711" not in done.output
    assert fresh_database.query("SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == []


def test_the_scenarios_of_an_app_are_listed_without_stacks(run: Callable[..., Done]) -> None:
    done = run("--list", "--app", "shop:app", "--path", "/products")
    assert done.returncode == 0
    assert all(name in done.output for name in own_app_scenarios(("/products",)))
    assert STACKS["naive"].summary not in done.output


@pytest.mark.parametrize("width", [None, 100])
def test_progress_is_a_line_for_each_run_and_on_a_terminal_a_bar(width: int | None) -> None:
    console = Console(file=StringIO(), force_terminal=width is not None, width=width or 200)
    with (LiveScreen if width else Screen)(console, 4) as screen:
        run = played("silent-drop", "tuned", failed=20)
        screen.begins(run.scenario, run.stack)
        screen.ended(run)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "1/4 silent-drop, tuned" in said
    assert "20 failed, not met: failed requests: 20" in said
    assert ("\x1b" in said) == (width is not None)


@pytest.mark.slow
def test_a_scenario_on_two_stacks_is_played_judged_and_reported(folder: Path) -> None:
    files = {name: folder / f"out.{name}" for name in ("json", "html", "junit")}
    options = [word for name, file in files.items() for word in (f"--{name}", str(file))]
    stacks = ["--stack", "poolkeeper", "--stack", "naive"]
    done = subprocess.run(
        [sys.executable, "-m", "poolkeeper", "drill", "commit-fails", *stacks, *options],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        check=False,
    )
    said = json.loads(files["json"].read_text())
    naive, ours = said["scenarios"][0]["runs"]
    assert (naive["stack"], ours["stack"]) == ("naive", "poolkeeper")
    # Each fifth COMMIT of 150 was refused: one stack says so to whom it met, the other has lied to the same callers.
    assert 0 < naive["figures"]["books"]["missing"] <= 30
    assert 0 < ours["figures"]["by_error"]["status 500"] <= 30
    assert ours["figures"]["wrong"] == ours["figures"]["backends_left"] == 0
    assert ours["good"], done.stdout
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert ElementTree.parse(files["junit"]).getroot().find("testsuite") is not None
    assert files["html"].read_text().startswith("<!doctype html>")
    assert list((folder / "tmp").iterdir()) == []
