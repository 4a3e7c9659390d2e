"""A plan as a page, and as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from poolkeeper.model import Finding, Severity, errors_in
from poolkeeper.planner.budget import Ledger
from poolkeeper.planner.curves import Curves, Point, curves_of
from poolkeeper.planner.figures import QueueFigures
from poolkeeper.planner.plan import Plan, ServicePlan
from poolkeeper.planner.quantities import in_words
from poolkeeper.planner.reasoned import Reasoned
from poolkeeper.planner.rollout import Rollout, rollout_of
from poolkeeper.report.looks import in_digits
from poolkeeper.report.page import Page, Section, Table
from poolkeeper.report.pictures import Picture, deploy_picture, hold_picture, load_picture

# Of the points of a curve, every so many make a table that can be read.
_EVERY = 8


def pictures_of(plan: Plan) -> tuple[Picture, ...]:
    """The deploy, and for each service the load and the hold time. Raises ImportError without matplotlib."""
    found = [deploy_picture(_rollout(plan))]
    for one in plan.services:
        curves = curves_of(one.service, one.sizing)
        found += [load_picture(curves), hold_picture(curves)]
    return tuple(found)


def page_of(plan: Plan) -> Page:
    """The plan as a page. Raises ImportError without matplotlib."""
    names = ", ".join(one.service.name for one in plan.services)
    sections = [_answer(plan), _budget(plan), *(_service(one) for one in plan.services), _rules(plan)]
    return Page(f"Connection plan: {names}", _verdict(plan), plan.fits, sections)


def _verdict(plan: Plan) -> str:
    if not plan.fits:
        return f"It does not fit: {_said(errors_in(plan.findings)[0])}."
    worst, limit = plan.budget.server.worst, plan.budget.server.limit.value
    return f"It fits: at most {worst} connections, of {limit} available."


def _answer(plan: Plan) -> Section:
    tables = [_findings(plan.findings)] if plan.findings else []
    if plan.changes:
        rows = [(change.name, change.what, change.cost) for change in plan.changes]
        tables.append(Table("Any one of these makes it fit; the first costs least", ("change", "what", "price"), rows))
    sentence = "Nothing is wrong with it." if not plan.findings else "What was found, the most serious first."
    return Section("The answer", (sentence,), tables)


def _findings(findings: Sequence[Finding]) -> Table:
    rows = [(f"{one.severity}: {one.subject}", one.seen, one.why, one.fix) for one in findings]
    bad = frozenset(number for number, one in enumerate(findings) if one.severity is Severity.ERROR)
    return Table("Findings", ("where", "seen", "why it matters", "what to do"), rows, bad)


def _budget(plan: Plan) -> Section:
    rollout = _rollout(plan)
    steps = [
        (str(number), *map(str, (step.old, step.new, step.leaving, step.pooled, step.connections)))
        for number, step in enumerate(rollout.steps, 1)
    ]
    columns = ("moment", "old version", "new version", "on their way out", "of the pooler", "together")
    return Section(
        "Does it fit into the database?",
        [f"{ledger.title}: {ledger.limit.formula}." for ledger in plan.budget.ledgers],
        [_ledger(ledger) for ledger in plan.budget.ledgers],
        [deploy_picture(rollout)],
        [Table("The deploy as a table", columns, steps)],
    )


def _ledger(ledger: Ledger) -> Table:
    rows = [(row.service, *(str(row.counts[situation]) for situation in ledger.situations)) for row in ledger.rows]
    rows.append(("all", *(str(ledger.total(situation)) for situation in ledger.situations)))
    rows.append(("too many", *(str(ledger.over(situation) or "") for situation in ledger.situations)))
    bad = frozenset[int]() if ledger.fits else frozenset({len(rows) - 1})
    kept = rows if bad else rows[:-1]
    caption = f"Connections of the {ledger.title}; {ledger.limit.value} are available"
    return Table(caption, ("service", *map(str, ledger.situations)), kept, bad)


def _service(one: ServicePlan) -> Section:
    curves = curves_of(one.service, one.sizing)
    sizing = one.sizing
    sizes = [
        _size("pool_size", str(sizing.pool_size.value), sizing.pool_size),
        _size("max_overflow", str(sizing.max_overflow.value), sizing.max_overflow),
        _size("pool_timeout", in_words(sizing.pool_timeout.value), sizing.pool_timeout),
        _size("max_waiting", str(sizing.max_waiting.value), sizing.max_waiting),
        _size("pool_recycle", f"{sizing.recycle.value}s", sizing.recycle),
    ]
    queues = [_queue(queue) for queue in (*one.queues, *one.pooler_queues)]
    bad = frozenset(number for number, queue in enumerate(one.queues) if queue.offered >= 1)
    return Section(
        one.service.name,
        (f"Assumed: {one.assumption}.",),
        (
            Table("Its pools, one in each process", ("setting", "value", "formula", "why", "source"), sizes),
            Table("Its queue", _QUEUE_COLUMNS, queues, bad),
        ),
        (load_picture(curves), hold_picture(curves)),
        tuple(_as_tables(curves)),
    )


def _size(name: str, value: str, why: Reasoned[int] | Reasoned[float]) -> tuple[str, ...]:
    return name, value, why.formula, why.reason, why.source


_QUEUE_COLUMNS = (
    "situation",
    "checkouts/s",
    "in use",
    "must wait",
    "wait p50",
    "wait p95",
    "wait p99",
    "refused/s",
    "timed out/s",
)


def _queue(queue: QueueFigures) -> tuple[str, ...]:
    return (
        queue.situation,
        in_digits(queue.checkouts_per_second),
        f"{queue.utilisation:.0%}",
        f"{queue.waiting_probability:.2%}",
        *(_wait(seconds) for seconds in (queue.wait_p50, queue.wait_p95, queue.wait_p99)),
        *(f"{rate:,.3g}" if rate >= 0.001 else "0" for rate in (queue.refusals_per_second, queue.timeouts_per_second)),
    )


def _as_tables(curves: Curves) -> Iterator[Table]:
    outcome = ("in use", "wait p99", "not served")
    rates = [(in_digits(point.rate), *_outcome(point)) for point in curves.by_rate[_EVERY - 1 :: _EVERY]]
    holds = [(in_words(point.hold), *_outcome(point)) for point in curves.by_hold[_EVERY - 1 :: _EVERY]]
    yield Table("Waiting against load as a table", ("checkouts/s", *outcome), rates)
    yield Table("Waiting against the hold time as a table", ("mean hold", *outcome), holds)


def _outcome(point: Point) -> tuple[str, str, str]:
    figures = point.figures
    return f"{figures.utilisation:.0%}", _wait(figures.wait_p99), f"{figures.lost:.2%}"


def _wait(seconds: float) -> str:
    return "0" if seconds < 1e-6 else in_words(seconds)


def _rules(plan: Plan) -> Section:
    verdicts: Mapping[bool | None, str] = {True: "agrees", False: "disagrees", None: "cannot be seen"}
    rows = [
        (rule.name, rule.about, rule.formula, verdicts[rule.agrees], rule.verdict, rule.source) for rule in plan.rules
    ]
    columns = ("rule", "of", "formula", "the plan", "what it makes of it", "source")
    return Section("The rules of the guides", (), (Table("Each on these numbers", columns, rows),))


def _said(finding: Finding) -> str:
    return f"{finding.subject}: {finding.seen}"


def _rollout(plan: Plan) -> Rollout:
    return rollout_of(plan.workload, {one.service.name: one.sizing for one in plan.services})
