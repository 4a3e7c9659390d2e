"""`poolkeeper plan`: which numbers fit, before anything is deployed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from poolkeeper.cli.workload_flags import with_workload_flags

if TYPE_CHECKING:
    from poolkeeper.cli.plan_input import Wanted
    from poolkeeper.planner.plan import Plan
    from poolkeeper.planner.rehearsal import Rehearsed
    from poolkeeper.planner.workload import Workload


@with_workload_flags
def plan(
    flags: Mapping[str, object],
    file: Annotated[Path | None, typer.Argument(help="A TOML file; options win over it.")] = None,
    init: Annotated[bool, typer.Option("--init", help="Write a commented TOML file, and nothing else.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_env: Annotated[bool, typer.Option("--env", help="Print the settings as environment variables.")] = False,
    as_python: Annotated[bool, typer.Option("--python", help="Print the settings as Python.")] = False,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", help="Measure the services: the URL of one's metrics, or a saved scrape.", metavar="URL"
        ),
    ] = None,
    over: Annotated[str | None, typer.Option(help="How long to measure at a URL, such as 30s. Default: 10s.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="A header for that URL, as 'Authorization: ...'; repeatable.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Ask the server of this database URL for its limits.")] = None,
    pgbouncer: Annotated[
        Path | None, typer.Option(help="Write the files of a PgBouncer into this folder.", metavar="DIR")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures.", metavar="FILE")] = None,
    png: Annotated[Path | None, typer.Option(help="Write the pictures into this folder.", metavar="DIR")] = None,
    with_simulation: Annotated[
        bool, typer.Option("--simulate", help="Play each service through, also with SQLAlchemy's own pool.")
    ] = False,
) -> None:
    """Work out how large the pools should be, and whether it all fits into the database.

    Exits 0 when it fits, 1 when it does not, 2 when the input is wrong.
    """
    from poolkeeper.cli.plan_input import Wanted
    from poolkeeper.planner.plan import plan as planned

    if init:
        _init(file)
        return
    if as_json + as_env + as_python > 1:
        _refuse(["choose one of --json, --env, --python"])
    wanted = Wanted(source, over, header or [], url)
    result = planned(_workload(file, flags, wanted))
    _write(result, url, pgbouncer=pgbouncer, html=html, png=png)
    simulated = _simulated(result) if with_simulation else ()
    if as_json:
        played = {"simulation": [one.as_dict() for one in simulated]} if with_simulation else {}
        typer.echo(json.dumps({**_as_json(result), **played}, indent=2))
    elif as_env or as_python:
        typer.echo(_as_settings(result, as_env=as_env), nl=False)
    else:
        from poolkeeper.cli.plan_screen import show

        show(result, simulated)
    raise typer.Exit(0 if result.fits else 1)


def _init(file: Path | None) -> None:
    from poolkeeper.cli.plan_file import NAME, FileUnusable, write_new

    path = file or Path(NAME)
    try:
        write_new(path)
    except FileUnusable as unusable:
        _refuse([str(unusable)])
    typer.echo(f"{path} is written. Change it, then: poolkeeper plan {path}")


def _workload(file: Path | None, flags: Mapping[str, object], wanted: Wanted) -> Workload:
    """What the file and the options describe. Exits 2 with everything that is wrong with it."""
    from poolkeeper.cli.looks import LookFailed
    from poolkeeper.cli.plan_file import FileUnusable, read
    from poolkeeper.cli.plan_input import with_measured
    from poolkeeper.cli.workload_flags import FlagsUnclear, document_of, subject_of
    from poolkeeper.planner.reading import workload_of
    from poolkeeper.planner.refused import WorkloadRefused

    try:
        measured = with_measured({} if file is None else read(file), wanted, flags)
        for note in measured.notes:
            typer.echo(f"note: {note}", err=True)
        return workload_of(document_of(measured.flags, measured.document, fresh=not (file or wanted.source)))
    except (FileUnusable, FlagsUnclear, LookFailed) as unusable:
        _refuse([str(unusable)])
    except WorkloadRefused as refused:
        name = None if file is None else str(file)
        _refuse([f"{subject_of(one, flags, name)}: {one.seen}; {one.why}. {one.fix}." for one in refused.findings])


def _write(result: Plan, url: str | None, *, pgbouncer: Path | None, html: Path | None, png: Path | None) -> None:
    """The files that are asked for. Exits 2 where one is in the way, 1 where not even PgBouncer helps."""
    if pgbouncer is None and html is None and png is None:
        return
    from poolkeeper.cli.plan_file import FileUnusable
    from poolkeeper.cli.plan_output import refuse_existing, write_page, write_pgbouncer, write_pictures
    from poolkeeper.planner.numbers import BadNumber
    from poolkeeper.planner.pgbouncer import PoolerCannotHelp

    try:
        refuse_existing([] if html is None else [html])
        written = [] if pgbouncer is None else write_pgbouncer(result, pgbouncer, url)
        written += [] if html is None else write_page(result, html)
        written += [] if png is None else write_pictures(result, png)
    except (FileUnusable, BadNumber) as unusable:
        _refuse([str(unusable)])
    except PoolerCannotHelp as too_much:
        typer.echo(f"error: {too_much}", err=True)
        raise typer.Exit(1) from None
    for path in written:
        typer.echo(f"written: {path}", err=True)


def _simulated(result: Plan) -> Sequence[Rehearsed]:
    from poolkeeper.planner.rehearsal import rehearse

    found: list[Rehearsed] = []
    for one in rehearse(result):
        typer.echo(f"simulated: {one.service}, {one.situation}, {one.pool}", err=True)
        found.append(one)
    return found


def _refuse(problems: Sequence[str]) -> NoReturn:
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    raise typer.Exit(2)


def _as_json(result: Plan) -> dict[str, object]:
    from poolkeeper.planner.output import environment_of, settings_of

    server = result.workload.server
    settings = {
        one.service.name: {"settings": settings_of(one, server), "environment": environment_of(one, server)}
        for one in result.services
    }
    return {**result.as_dict(), "settings": settings}


def _as_settings(result: Plan, *, as_env: bool) -> str:
    from poolkeeper.planner.output import environment_of, python_of

    server, blocks = result.workload.server, list[str]()
    for one in result.services:
        if as_env:
            body = "".join(f"{name}={value}\n" for name, value in environment_of(one, server).items())
        else:
            body = python_of(one, server)
        blocks.append(f"# {one.service.name}\n{body}")
    return "\n".join(blocks)
