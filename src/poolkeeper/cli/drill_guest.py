"""Before a drill on a server of others: what will be done there, and whether that is wanted."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import typer

from poolkeeper.drill.guest import Refused, look_at
from poolkeeper.settings import Dsn, DsnInvalid


def agree(url: str, needed: int, left_out: Mapping[str, str], *, yes: bool) -> None:
    """Return where the drill may begin, which needs so many connections.

    Leaves with 2 for a URL that is refused, and with 1 where the answer is no.
    """
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask on; --yes begins without asking", param_hint="--url")
    try:
        sight = look_at(url, needed)
    except (DsnInvalid, Refused) as refused:
        typer.echo(f"error: --url: {refused}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"PostgreSQL {sight.version}, {Dsn(url)}: {sight.others} connections of others are open")
    typer.echo(f"A drill opens up to {needed} connections, ends its own, and makes tables that it drops again.")
    for name, why in left_out.items():
        typer.echo(f"left out: {name}: {why}")
    if not yes and not typer.confirm("Go on?", default=False):
        typer.echo("nothing was done")
        raise typer.Exit(1)
