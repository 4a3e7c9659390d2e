"""`poolkeeper drill`: break a real database in many ways, and see what four configurations of one service do."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from poolkeeper.cli.drill_screen import screen_for, show, show_list
from poolkeeper.drill import ServiceFailed
from poolkeeper.drill.ground import embedded_ground
from poolkeeper.drill.report import Report, junit, page
from poolkeeper.drill.run import Unknown, chosen_scenarios, chosen_stacks
from poolkeeper.drill.run import drill as play_all
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stacks import Stack
from poolkeeper.testing import EmbeddedPostgresError


def drill(
    names: Annotated[list[str] | None, typer.Argument(help="Scenarios to play; none for the quick ones.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Play every scenario.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the scenarios and stacks, and play none.")] = False,
    stack: Annotated[list[str] | None, typer.Option(help="Only this stack; may be given more than once.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", dir_okay=False, help="Write all figures here.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", dir_okay=False, help="Write a page here.")] = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", dir_okay=False, help="Write JUnit XML here.")] = None,
) -> None:
    """Play failures on a real PostgreSQL of our own, with four configurations of the same service, and judge them.

    Exits with 0 where every verdict is good, 1 where one is not or a run could not be made, 2 for a wrong command line.
    """
    try:
        scenarios, stacks = chosen_scenarios(names or (), every=every), chosen_stacks(stack or ())
    except Unknown as unknown:
        raise typer.BadParameter(str(unknown)) from None
    if names and every:
        raise typer.BadParameter("--all and names exclude each other")
    files = {"--json": json_file, "--html": html_file, "--junit": junit_file}
    _refuse_without_folder(files)
    if listed:
        show_list(chosen_scenarios((), every=True))
        return
    report = _played(scenarios, stacks)
    show(report)
    _write(report, json_file, html_file, junit_file)
    raise typer.Exit(0 if report.good else 1)


def _refuse_without_folder(files: dict[str, Path | None]) -> None:
    for option, file in files.items():
        if file is not None and not file.resolve().parent.is_dir():
            raise typer.BadParameter(f"there is no folder {file.resolve().parent}", param_hint=option)


def _played(scenarios: list[Scenario], stacks: list[Stack]) -> Report:
    # As Ctrl-C does: what runs is ended in good order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _warn_when_busy()
    try:
        with embedded_ground() as ground, screen_for(len(scenarios) * len(stacks)) as screen:
            return play_all(scenarios, stacks, ground, begins=screen.begins, ended=screen.ended)
    except KeyboardInterrupt:
        typer.echo("stopped before the end; nothing is left running", err=True)
    except ServiceFailed as failure:
        typer.echo(f"error: {failure}\nthe last lines of its log:\n{failure.log}", err=True)
    except (EmbeddedPostgresError, RuntimeError, OSError) as failure:
        typer.echo(f"error: {failure}", err=True)
    raise typer.Exit(1)


def _warn_when_busy() -> None:
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores:
        typer.echo(f"this machine is busy (load {load:.1f} on {cores} cores): times will be longer than they should be")


def _write(report: Report, json_file: Path | None, html_file: Path | None, junit_file: Path | None) -> None:
    if json_file is not None:
        json_file.write_text(json.dumps(report.as_dict(), indent=1) + "\n", encoding="utf-8")
    if html_file is not None:
        html_file.write_text(page(report), encoding="utf-8")
    if junit_file is not None:
        junit_file.write_text(junit(report), encoding="utf-8")
