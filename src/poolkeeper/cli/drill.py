"""`poolkeeper drill`: break a real database in many ways, and see what four configurations of one service do."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from poolkeeper.cli.drill_guest import agree
from poolkeeper.cli.drill_screen import screen_for, show, show_list
from poolkeeper.drill import ServiceFailed
from poolkeeper.drill.ground import Ground, embedded_ground
from poolkeeper.drill.guest import Refused, connections_of, guest_ground
from poolkeeper.drill.own_app import ASYNCPG, OwnApp
from poolkeeper.drill.own_app_scenarios import own_app_scenarios
from poolkeeper.drill.report import Report, junit, markdown, page
from poolkeeper.drill.run import Unknown, chosen_scenarios, chosen_stacks, playable, those_who_play
from poolkeeper.drill.run import drill as play_all
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.scenarios import scenarios
from poolkeeper.drill.subject import Reference, Subject
from poolkeeper.settings.masking import masked_text
from poolkeeper.testing import EmbeddedPostgresError

_ENDINGS = signal.SIGINT, signal.SIGTERM


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be played on what; `url` is None for a server of our own."""

    scenarios: Sequence[Scenario]
    subjects: Sequence[Subject]
    left_out: Mapping[str, str]
    url: str | None

    @property
    def ground(self) -> AbstractContextManager[Ground]:
        return embedded_ground() if self.url is None else guest_ground(self.url, connections_of(self.scenarios))


def drill(
    names: Annotated[list[str] | None, typer.Argument(help="Scenarios to play; none for the quick ones.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Play every scenario.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the scenarios and stacks, and play none.")] = False,
    stack: Annotated[list[str] | None, typer.Option(help="Only this stack; may be given more than once.")] = None,
    url: Annotated[
        str | None, typer.Option(help="Play on this PostgreSQL, as far as that leaves it and others alone.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --url: do not ask first.")] = False,
    app: Annotated[str | None, typer.Option(help="Drill this app (module:app) in place of the stacks.")] = None,
    path: Annotated[list[str] | None, typer.Option(help="With --app: GET this; may be given more than once.")] = None,
    database_env: Annotated[
        str, typer.Option(help="With --app: the variable in which it finds its database's URL.")
    ] = "DATABASE_URL",
    scheme: Annotated[str, typer.Option(help="With --app: how that URL begins.")] = ASYNCPG,
    prepare: Annotated[str, typer.Option(help="With --app: a command that makes its tables.")] = "",
    json_file: Annotated[Path | None, typer.Option("--json", dir_okay=False, help="Write all figures here.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", dir_okay=False, help="Write a page here.")] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", dir_okay=False, help="Write Markdown here.")
    ] = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", dir_okay=False, help="Write JUnit XML here.")] = None,
) -> None:
    """Play failures on a real PostgreSQL of our own, with four configurations of the same service, and judge them.

    Exits with 0 where every verdict is good, 1 where one is not or a run could not be made, 2 for a wrong command line.
    """
    if names and every:
        raise typer.BadParameter("--all and names exclude each other")
    own = _own_app(app, path or [], stack or [], url, database_env, scheme, prepare)
    there = scenarios() if own is None else own_app_scenarios(own.paths)
    try:
        chosen = chosen_scenarios(names or (), every=every or own is not None, there=there)
        subjects = [own] if own is not None else [Reference(each) for each in chosen_stacks(stack or ())]
    except Unknown as unknown:
        raise typer.BadParameter(str(unknown)) from None
    files = {"--json": json_file, "--html": html_file, "--markdown": markdown_file, "--junit": junit_file}
    _refuse_without_folder(files)
    if listed:
        show_list(there.values(), stacks=own is None)
        return
    played, left_out = playable(chosen, guest=url is not None)
    if not played:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise typer.BadParameter(f"nothing is left to play: {reasons}")
    plan = Plan(played, subjects, left_out, url)
    if url is not None:
        agree(url, connections_of(plan.scenarios), plan.left_out, yes=yes)
    report = _played(plan)
    show(report)
    _write(report, files)
    raise typer.Exit(0 if report.good else 1)


def _own_app(
    app: str | None, paths: list[str], stacks: list[str], url: str | None, database_env: str, scheme: str, prepare: str
) -> OwnApp | None:
    if app is None:
        if paths:
            raise typer.BadParameter("--path is for --app")
        return None
    for given, option in ((url, "--url"), (stacks, "--stack")):
        if given:
            raise typer.BadParameter(f"--app and {option} exclude each other")
    if not paths or not all(path.startswith("/") for path in paths):
        raise typer.BadParameter("--app needs at least one --path, such as --path /products")
    if ":" not in app:
        raise typer.BadParameter(f"--app is module:app, and this is {app}")
    if not scheme.startswith("postgres"):
        raise typer.BadParameter(f"--scheme is one of PostgreSQL, and this is {scheme}")
    return OwnApp(app, tuple(paths), Path.cwd(), database_env, scheme, prepare)


def _refuse_without_folder(files: dict[str, Path | None]) -> None:
    for option, file in files.items():
        if file is not None and not file.resolve().parent.is_dir():
            raise typer.BadParameter(f"there is no folder {file.resolve().parent}", param_hint=option)


def _played(plan: Plan) -> Report:
    for number in _ENDINGS:
        signal.signal(number, _end_in_good_order)
    _warn_when_busy()
    runs = sum(len(those_who_play(scenario, plan.subjects)) for scenario in plan.scenarios)
    try:
        with plan.ground as ground, screen_for(runs) as screen:
            return play_all(
                plan.scenarios,
                plan.subjects,
                ground,
                begins=screen.begins,
                ended=screen.ended,
                left_out=plan.left_out,
            )
    except KeyboardInterrupt:
        typer.echo("stopped before the end; nothing is left running", err=True)
    except ServiceFailed as failure:
        typer.echo(f"error: {failure}\nthe last lines of its log:\n{masked_text(failure.log)}", err=True)
    except Refused as refused:
        typer.echo(f"error: --url: {refused}", err=True)
    except (EmbeddedPostgresError, RuntimeError, OSError) as failure:
        typer.echo(f"error: {masked_text(str(failure))}", err=True)
    raise typer.Exit(1)


def _end_in_good_order(_number: int, _frame: FrameType | None) -> None:
    """Once: nothing interrupts the clearing up, which a server of others relies on."""
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _warn_when_busy() -> None:
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores:
        typer.echo(f"this machine is busy (load {load:.1f} on {cores} cores): times will be longer than they should be")


def _as_json(report: Report) -> str:
    return json.dumps(report.as_dict(), indent=1) + "\n"


_WRITERS = {"--json": _as_json, "--html": page, "--markdown": markdown, "--junit": junit}


def _write(report: Report, files: Mapping[str, Path | None]) -> None:
    for option, file in files.items():
        if file is not None:
            file.write_text(_WRITERS[option](report), encoding="utf-8")
