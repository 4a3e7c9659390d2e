"""`poolkeeper explain`: why a pool is slow or empty, in the terminal."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.text import Text

    from poolkeeper.cli.looks import Look, Sight

_EVERY = 2.0
_STYLES = {"error:": "bold red", "warning:": "yellow", "info:": "cyan"}
_TABLES = ("AGE", "SESSIONS", "BLOCKED")


def explain(
    url: Annotated[
        str | None,
        typer.Argument(help="A running service (http://127.0.0.1:8000) or a database; DATABASE_URL otherwise."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every 2 s, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; with --watch a line for each look.")] = False,
    header: Annotated[
        list[str] | None, typer.Option(help="A header for the service, as 'Authorization: ...'; repeatable.")
    ] = None,
) -> None:
    """Tell why the pool of a running service is slow or empty, or what a database's server says itself.

    Exits 1 where there is an error, which hurts callers now; a warning does not yet. Exits 2 where nothing can be seen.
    """
    from poolkeeper.cli.http import headers_of
    from poolkeeper.cli.looks import LookFailed

    try:
        with closing(_sight(url, headers_of(header or []))) as sight:
            code = _watch(sight, as_json) if watch else _once(sight, as_json)
    except LookFailed as failed:
        typer.echo(f"error: {failed}", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(code)


def _sight(url: str | None, headers: Mapping[str, str]) -> Sight:
    if url is not None and url.partition("://")[0] in ("http", "https"):
        from poolkeeper.cli.service_sight import ServiceSight

        return ServiceSight(url, headers)
    from poolkeeper.cli.server_sight import ServerSight

    return ServerSight(url)


def _once(sight: Sight, as_json: bool) -> int:
    look = sight.look()
    if as_json:
        typer.echo(json.dumps(look.data, indent=2, default=str))
    else:
        _console().print(_shown(look))
    return look.exit_code


def _watch(sight: Sight, as_json: bool) -> int:
    """Until Ctrl-C; the exit code is that of the last look. What ends in between may come back."""
    # Nothing is left behind in the terminal, whoever ends it.
    from poolkeeper.cli.looks import LookFailed

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = 0
    try:
        # The first look has to succeed: later, a service may be restarting.
        look: Look | None = sight.look()
        with _Screen(as_json) as screen:
            while True:
                code = 2 if look is None else look.exit_code
                screen.show(look)
                time.sleep(_EVERY)
                try:
                    look = sight.look()
                except LookFailed as failed:
                    # Before it is said: whoever reads it may end us at once.
                    look, code = None, 2
                    screen.say(str(failed))
    except KeyboardInterrupt:
        return code
    finally:
        signal.signal(signal.SIGTERM, before)


class _Screen:
    """Where each look is shown: in place on a terminal, one below the other anywhere else, or with NO_COLOR."""

    def __init__(self, as_json: bool) -> None:
        from rich.live import Live

        self._as_json = as_json
        self._console = _console()
        in_place = self._console.is_terminal and not as_json and "NO_COLOR" not in os.environ
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop") if in_place else None

    def __enter__(self) -> _Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, look: Look | None) -> None:
        if look is None:
            return
        if self._as_json:
            typer.echo(json.dumps(look.data, default=str))
        elif self._live is not None:
            self._live.update(_shown(look), refresh=True)
        else:
            self._console.print(_shown(look))
            self._console.print()

    def say(self, failure: str) -> None:
        if self._live is not None:
            self._live.update(f"error: {failure}", refresh=True)
        else:
            typer.echo(f"error: {failure}", err=True)


def _console() -> Console:
    from rich.console import Console

    from poolkeeper.cli.settings import PIPE_WIDTH

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def _shown(look: Look) -> Group:
    from rich.console import Group
    from rich.text import Text

    blocks: list[Text] = []
    for paragraph in look.paragraphs:
        blocks += [_styled(paragraph), Text()]
    return Group(*blocks[:-1])


def _styled(paragraph: str) -> Text:
    """A table's lines end at the edge, sentences go on below."""
    from rich.text import Text

    first, _, rest = paragraph.partition("\n")
    is_table = first.startswith(_TABLES)
    style = "bold" if is_table else next((style for word, style in _STYLES.items() if first.startswith(word)), "")
    text = Text(first, style=style, no_wrap=is_table or None, overflow="ellipsis" if is_table else None)
    if rest:
        text.append(f"\n{rest}", style="not bold default" if style else "")
    return text
