"""`poolkeeper settings`: what acts, where it comes from, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from poolkeeper.model import Finding
    from poolkeeper.settings import EffectiveSettings

# Wide enough that a pipe into grep sees one setting per line.
PIPE_WIDTH = 200
_STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def settings(
    url: Annotated[str | None, typer.Option(help="Database URL; DATABASE_URL otherwise.")] = None,
    profile: Annotated[str | None, typer.Option(help="Profile; DATABASE_PROFILE otherwise.")] = None,
    provider: Annotated[str | None, typer.Option(help="Provider; recognised from the URL otherwise.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the effective settings, where each comes from, and what is wrong. Exits 1 where there are errors."""
    from poolkeeper.model import errors_in
    from poolkeeper.settings import DatabaseSettings, SettingsRefused

    given = {"url": url, "profile": profile, "provider": provider}
    effective: EffectiveSettings | None = None
    try:
        effective = DatabaseSettings(**{name: value for name, value in given.items() if value is not None}).examine()
        findings = effective.findings
    except SettingsRefused as refused:
        findings = refused.findings
    if as_json:
        _print_json(effective, findings)
    else:
        _print_tables(effective, findings)
    raise typer.Exit(1 if errors_in(findings) else 0)


def _print_json(effective: EffectiveSettings | None, findings: Iterable[Finding]) -> None:
    result = {"settings": None, "findings": [finding.as_dict() for finding in findings]}
    typer.echo(json.dumps(result if effective is None else effective.as_dict(), indent=2))


def _print_tables(effective: EffectiveSettings | None, findings: Iterable[Finding]) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    if effective is not None:
        _print_settings(console, effective)
    for finding in findings:
        print_finding(console, finding)


def _print_settings(console: Console, effective: EffectiveSettings) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("setting", "value", "origin"):
        table.add_column(title, overflow="fold")
    for name, value in effective.shown().items():
        table.add_row(Text(name), Text(str(value)), Text(str(effective.origins[name]), style="dim"))
    console.print(table)


def print_finding(console: Console, finding: Finding) -> None:
    from rich.text import Text

    console.print()
    console.print(Text(f"{finding.severity}: {finding.code} ({finding.subject})", style=_STYLES[finding.severity]))
    for label, text in (("seen", finding.seen), ("why", finding.why), ("fix", finding.fix), ("source", finding.source)):
        if text:
            console.print(Text(f"  {label:<6} {text}"))
