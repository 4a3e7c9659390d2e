"""A plan in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from poolkeeper.cli.settings import PIPE_WIDTH, print_finding
from poolkeeper.planner.quantities import in_words

if TYPE_CHECKING:
    from poolkeeper.planner.budget import Ledger
    from poolkeeper.planner.figures import QueueFigures
    from poolkeeper.planner.plan import Plan, ServicePlan
    from poolkeeper.planner.rehearsal import Rehearsed
    from poolkeeper.planner.rules import Rule

_GOOD, _BAD, _QUIET = "bold green", "bold red", "dim"
_AGREES = {True: "agrees", False: "disagrees", None: "not known"}
_QUEUE = ("queue", "checkouts/s", "in use", "P(wait)", "wait p50", "p95", "p99", "refused/s", "timed out/s")
_SIMULATED = (
    "simulated",
    "",
    "pool",
    "checkouts",
    "served",
    "left",
    "refused",
    "timed out",
    "wait p50",
    "p99",
    "answer p99",
    "connections",
)
# From here on rates have no decimals.
_WHOLE = 100
# The share of clients who leave that is worth a colour.
_MANY = 0.01
# Beyond this in a second nobody would ever see one.
_NEVER = 1e-6


def show(plan: Plan, simulated: Sequence[Rehearsed] = ()) -> None:
    """Print the plan: what each service should be set to, what it meets, and whether all of it fits."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    for one in plan.services:
        _show_service(console, one)
    if simulated:
        _show_simulated(console, simulated)
    for ledger in plan.budget.ledgers:
        _show_ledger(console, ledger)
    _show_rules(console, plan.rules)
    for finding in plan.findings:
        print_finding(console, finding)
    _show_changes(console, plan)
    console.print()
    console.print(_verdict(plan))
    console.print(
        Text("The settings: --env as environment variables, --python, --json with all figures.", style=_QUIET)
    )


def _verdict(plan: Plan) -> Text:
    if not plan.fits:
        return Text("It does not fit.", style=_BAD)
    server = plan.budget.server
    worst = max(server.situations, key=server.total)
    most = f"{server.total(worst)} of {server.limit.value} available connections at most"
    return Text("It fits", style=_GOOD).append(f": {most} ({worst}).", style="not bold default")


def _table(titles: Iterable[str], numbers_from: int | None = None) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, title in enumerate(titles):
        is_number = numbers_from is not None and number >= numbers_from
        table.add_column(title, overflow="fold", justify="right" if is_number else "left")
    return table


def _show_service(console: Console, one: ServicePlan) -> None:
    service, sizing = one.service, one.sizing
    head = (
        f"{service.name}: {service.checkouts:.4g} checkouts/s of {in_words(service.hold)}, {service.pods} pods x "
        f"{service.workers} workers"
    )
    console.print(Text(head, style="bold"))
    table = _table(("setting", "value", "why"))
    for name, item, value in (
        ("pool_size", sizing.pool_size, str(sizing.pool_size.value)),
        ("max_overflow", sizing.max_overflow, str(sizing.max_overflow.value)),
        ("pool_timeout", sizing.pool_timeout, in_words(sizing.pool_timeout.value)),
        ("max_waiting", sizing.max_waiting, str(sizing.max_waiting.value)),
        ("pool_recycle", sizing.recycle, f"{sizing.recycle.value}s"),
    ):
        table.add_row(Text(name), Text(value, style="bold"), _reasoned(item.formula, item.reason, item.source))
    console.print(table)
    console.print()
    _show_queues(console, one)
    console.print()


def _show_queues(console: Console, one: ServicePlan) -> None:
    table = _table(_QUEUE, numbers_from=1)
    for queue in (*one.queues, *one.pooler_queues):
        table.add_row(*_queue_row(queue))
    console.print(table)
    knee = f"knee at {one.knee.rate:.4g} checkouts/s, {one.knee.utilisation:.0%} of the connections in use"
    console.print(Text(f"{knee}. {one.assumption}.", style=_QUIET))


def _queue_row(queue: QueueFigures) -> Sequence[Text]:
    style = _BAD if queue.offered >= 1 else ""
    return [
        Text(queue.situation, style=style),
        Text(f"{queue.checkouts_per_second:.4g}"),
        Text(f"{queue.utilisation:.0%}", style=style),
        Text(f"{queue.waiting_probability:.1%}"),
        *(Text(in_words(wait)) for wait in (queue.wait_p50, queue.wait_p95, queue.wait_p99)),
        *(Text(_per_second(rate), style=style) for rate in (queue.refusals_per_second, queue.timeouts_per_second)),
    ]


def _show_simulated(console: Console, simulated: Sequence[Rehearsed]) -> None:
    table = _table(_SIMULATED, numbers_from=3)
    for one in simulated:
        style = _BAD if one.lost_clients >= _MANY * one.checkouts_per_second else ""
        table.add_row(
            Text(one.service),
            Text(one.situation),
            Text(one.pool),
            *(Text(_per_second(rate)) for rate in (one.checkouts_per_second, one.served)),
            *(Text(_per_second(rate), style=style) for rate in (one.lost_clients, one.refused, one.timed_out)),
            *(Text(in_words(seconds)) for seconds in (one.wait_p50, one.wait_p99, one.response_p99)),
            Text(str(one.connections)),
        )
    console.print(table)
    note = "per second. The stock pool has the same size, its timeout of 30 s, and turns nobody away"
    console.print(Text(f"{note}. left: the client had gone, the work was done all the same.", style=_QUIET))
    console.print()


def _per_second(rate: float) -> str:
    if rate >= _WHOLE:
        return f"{rate:.0f}"
    return "0" if rate < _NEVER else f"{rate:.3g}"


def _show_ledger(console: Console, ledger: Ledger) -> None:
    table = _table((f"connections to the {ledger.title}", *map(str, ledger.situations)), numbers_from=1)
    for row in ledger.rows:
        table.add_row(Text(row.service), *(Text(str(row.counts[one])) for one in ledger.situations))
    totals = [Text(str(ledger.total(one)), style=_BAD if ledger.over(one) else _GOOD) for one in ledger.situations]
    table.add_row(Text("all", style="bold"), *totals)
    if not ledger.fits:
        beyond = [Text(f"+{ledger.over(one)}" if ledger.over(one) else "", style=_BAD) for one in ledger.situations]
        table.add_row(Text("too many", style=_BAD), *beyond)
    console.print(table)
    console.print(Text(f"available: {ledger.limit.formula}", style=_QUIET))
    console.print()


def _show_rules(console: Console, rules: Iterable[Rule]) -> None:
    table = _table(("rule of thumb", "for", "", "numbers"))
    for rule in rules:
        agrees = Text(_AGREES[rule.agrees], style="yellow" if rule.agrees is False else "")
        table.add_row(Text(rule.name), Text(rule.about), agrees, _reasoned(rule.formula, rule.verdict, rule.source))
    console.print(table)


def _reasoned(formula: str, reason: str, source: str) -> Text:
    return Text(formula).append(f"\n{reason} [{source}]", style=_QUIET)


def _show_changes(console: Console, plan: Plan) -> None:
    if plan.fits:
        return
    console.print()
    if not plan.changes:
        console.print(Text("No single change makes it fit: shorten the holds, or combine several of them."))
        return
    console.print(Text("Each of these makes it fit, the cheapest first:", style="bold"))
    for number, change in enumerate(plan.changes, 1):
        console.print(Text(f"  {number}. {change.name}: {change.what}. It costs: {change.cost}."))
