"""The commands, by name. Each is imported when it runs, so that one works without what another needs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command lives, what it does, and the extra that installs what it needs."""

    module: str
    summary: str
    extra: str = "cli"


COMMANDS = {
    "settings": Command(
        "poolkeeper.cli.settings", "Show the effective settings, where each comes from, what is wrong."
    ),
    "explain": Command(
        "poolkeeper.cli.explain", "Tell why a service's pool is slow or empty, or what a database's server says."
    ),
    "plan": Command(
        "poolkeeper.cli.plan", "Work out how large pools should be, and whether it all fits into the database.", "plan"
    ),
    "demo": Command("poolkeeper.cli.demo", "Run the reference service under load on a real database.", "demo"),
    "drill": Command(
        "poolkeeper.cli.drill", "Break a real database in many ways, and judge what the service makes of it.", "demo"
    ),
}


class LazyGroup(TyperGroup):
    """Finds a command's module by its name; listing them all imports none."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        if (command := COMMANDS.get(cmd_name)) is None:
            return None
        module = import_module(command.module)
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        single.command(cmd_name)(getattr(module, cmd_name))
        return typer.main.get_command(single)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"poolkeeper {version('poolkeeper')}")
        raise typer.Exit


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Keeps the database connections of a service healthy, and explains them when they are not.",
)


@app.callback()
def poolkeeper(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What all commands have in common."""
