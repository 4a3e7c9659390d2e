"""What `poolkeeper drill` shows: where it is, each run as it ends, and one table."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from poolkeeper.drill.play import Played
from poolkeeper.drill.report.document import Report, chief_of, is_extra, verdict_on
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stacks import STACKS
from poolkeeper.drill.subject import Subject

# Of a file or a pipe, which have no width of their own.
_WIDTH_OF_FILES = 160


class Screen(AbstractContextManager["Screen"]):
    """A line for each run when it ends."""

    def __init__(self, console: Console, runs: int) -> None:
        self._console, self._runs = console, runs
        self._ended = 0
        self._began = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def begins(self, scenario: Scenario, stack: Subject) -> None:  # noqa: ARG002 - for the bar
        """A run begins."""
        self._began = time.monotonic()

    def ended(self, played: Played) -> None:
        """A run is over."""
        self._ended += 1
        seconds = time.monotonic() - self._began
        reason = "" if played.verdict.good else f": {played.verdict.reason}"
        mark = "met" if played.verdict.good else "not met"
        where = f"{self._ended}/{self._runs} {played.scenario.name}, {played.stack.name} ({seconds:.0f} s)"
        _say(self._console, f"{where}: {chief_of(played)}, {mark}{reason}")


class LiveScreen(Screen):
    """The same above a bar that stays in place."""

    def __init__(self, console: Console, runs: int) -> None:
        super().__init__(console, runs)
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        self._task = self._progress.add_task("starting PostgreSQL", total=runs)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def begins(self, scenario: Scenario, stack: Subject) -> None:
        super().begins(scenario, stack)
        self._progress.update(self._task, description=f"{scenario.name}, {stack.name}")

    def ended(self, played: Played) -> None:
        super().ended(played)
        self._progress.advance(self._task)


def screen_for(runs: int) -> Screen:
    """The bar on a terminal, unless NO_COLOR asks for plain text."""
    console = _console()
    return LiveScreen(console, runs) if console.is_terminal and "NO_COLOR" not in os.environ else Screen(console, runs)


def show(report: Report) -> None:
    """The table: a scenario in each row, and its chief figure on each stack."""
    stacks = [stack.name for stack in report.stacks]
    title = f"{len(report.played)} runs in {report.seconds:.0f} s"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for column in ("scenario", "verdict", *stacks):
        table.add_column(column, no_wrap=column == "scenario")
    for runs in report.by_scenario:
        good = verdict_on(runs)
        found = {run.stack.name: _cell(run) for run in runs}
        verdict = "[green]good[/green]" if good else "[bold red]not good[/bold red]"
        table.add_row(escape(runs[0].scenario.name), verdict, *(found.get(name, "") for name in stacks))
    console = _console()
    console.print(table)
    for run in filter(is_extra, report.played):
        mark = "met" if run.verdict.good else "not met"
        _say(console, f"{run.scenario.name}, {run.stack.name} ({run.stack.summary}): {chief_of(run)} ({mark})")
    for note in report.notes:
        _say(console, note)
    for runs in report.by_scenario:
        for run in runs:
            if not run.as_predicted:
                said = "met its expectation" if run.verdict.good else run.verdict.reason
                _say(console, f"not as predicted: {run.scenario.name}, {run.stack.name}: {said}")


def show_list(scenarios: Iterable[Scenario], *, stacks: bool = True) -> None:
    """The scenarios with their questions, and the stacks where those are what is drilled."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("scenario", "quick", "question"):
        table.add_column(column, no_wrap=column != "question")
    for scenario in scenarios:
        table.add_row(escape(scenario.name), "quick" if scenario.quick else "", escape(scenario.question))
    console = _console()
    console.print(table)
    for stack in STACKS.values() if stacks else ():
        _say(console, f"{stack.name}: {stack.summary}")


def _cell(run: Played) -> str:
    mark, style = ("met", "green") if run.verdict.good else ("not met", "red")
    return f"[{style}]{escape(chief_of(run))}[/{style}] ({mark})"


def _say(console: Console, line: str) -> None:
    """A line as it is, however wide the terminal."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _console() -> Console:
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH_OF_FILES
    return console
