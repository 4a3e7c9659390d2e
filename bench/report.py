"""What a benchmark found: tables and targets, printed and written to bench/results as JSON and Markdown."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

RESULTS = Path(__file__).parent / "results"
WIDTH_OF_FILES = 160
TARGET_COLUMNS = ("what", "to reach", "measured", "outcome")
MISSED = "not reached"
Cell = str | int | float | None


@dataclass(frozen=True)
class Target:
    """A figure to reach; `measured` says what was."""

    what: str
    to_reach: str
    measured: str
    reached: bool


@dataclass(frozen=True)
class Table:
    """Rows of cells under `columns`; floats show three significant digits."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def markdown(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *([_shown(cell) for cell in row] for row in self.rows)]
        return f"### {self.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass
class Report:
    """Everything that one benchmark found; `name` is that of its file."""

    name: str
    title: str
    conditions: str
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def target(self, what: str, to_reach: str, measured: str, reached: bool) -> None:
        self.targets.append(Target(what, to_reach, measured, bool(reached)))

    @property
    def missed(self) -> list[Target]:
        return [target for target in self.targets if not target.reached]

    def publish(self, results: Path = RESULTS, *, as_json: bool = False) -> None:
        """Write the report down, and print it."""
        results.mkdir(parents=True, exist_ok=True)
        data = json.dumps(asdict(self) | {"machine": _machine()}, indent=1) + "\n"
        (results / f"{self.name}.json").write_text(data, encoding="utf-8")
        (results / f"{self.name}.md").write_text(self._markdown(), encoding="utf-8")
        if as_json:
            print(data, end="")
        else:
            self._show()

    def _markdown(self) -> str:
        machine = ", ".join(f"{name} {value}" for name, value in _machine().items())
        tables = [table.markdown() for table in (*self.tables, _targets("Targets", (), self._outcomes("**")))]
        return "\n\n".join([f"# {self.title}", self.conditions, *tables, machine]) + "\n"

    def _outcomes(self, mark: str = "") -> list[tuple[str, ...]]:
        return [
            (t.what, t.to_reach, t.measured, "reached" if t.reached else f"{mark}{MISSED}{mark}") for t in self.targets
        ]

    def _show(self) -> None:
        console = _console()
        console.print(f"\n[bold]{escape(self.title)}[/bold]\n{escape(self.conditions)}", highlight=False)
        for table in self.tables:
            _show_table(console, table)
        _show_table(console, _targets("Targets", (), self._outcomes()))


def run(
    report: Report, measure: Callable[[Report], Awaitable[None] | None], arguments: Sequence[str] | None = None
) -> None:
    """The main program of a benchmark: measure, write down, print. Exits 1 with `--check` if a target is missed."""
    options = _parser(report).parse_args(arguments)
    if (work := measure(report)) is not None:
        asyncio.run(_waited(work))
    report.publish(options.results, as_json=options.json)
    if options.check and report.missed:
        sys.exit(1)


def show_targets(targets: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Print what several benchmarks reached: their names, and targets as their JSON has them."""
    rows = [
        (name, target["what"], target["to_reach"], target["measured"], "reached" if target["reached"] else MISSED)
        for name, target in targets
    ]
    _show_table(_console(), _targets("All targets", ("benchmark",), rows))


async def _waited(work: Awaitable[None]) -> None:
    await work


def _parser(report: Report) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(f"python -m bench.{report.name}", description=report.title)
    add_options(parser)
    return parser


def add_options(parser: argparse.ArgumentParser) -> None:
    """What every benchmark can be told."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write the results (bench/results)")


def progress(text: str) -> None:
    """For whoever waits."""
    print(text, file=sys.stderr, flush=True)


def median(values: Sequence[float]) -> float:
    return quantile(values, 0.5)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all do not exceed; NaN when there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def densest(moments: Sequence[float], window: float) -> int:
    """The most moments that lie within `window` seconds of each other."""
    return max((sum(start <= moment < start + window for moment in moments) for start in moments), default=0)


def _targets(title: str, before: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    return Table(title, (*before, *TARGET_COLUMNS), rows)


def _console() -> Console:
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH_OF_FILES
    return console


def _show_table(console: Console, table: Table) -> None:
    grid = Grid(title=table.title, title_justify="left", box=box.SIMPLE_HEAD)
    of_words = TARGET_COLUMNS[-1] in table.columns
    for number, column in enumerate(table.columns):
        grid.add_column(column, justify="left" if of_words or number == 0 else "right")
    for row in table.rows:
        grid.add_row(*(escape(_shown(cell)) for cell in row), style="red" if row[-1] == MISSED else None)
    console.print(grid)


def _shown(cell: Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return "" if cell is None else str(cell)


def _machine() -> dict[str, str]:
    names = ("sqlalchemy", "asyncpg", "psycopg", "psycopg-pool")
    versions = {name: version(name) for name in names}
    machine = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "cores": str(os.cpu_count())}
    return machine | {"Python": platform.python_version(), **versions}
