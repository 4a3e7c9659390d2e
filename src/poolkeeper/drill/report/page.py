"""The report of a drill as one HTML file, which needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from importlib.resources import files

from poolkeeper.drill.figures import Point
from poolkeeper.drill.play import Played
from poolkeeper.drill.report.columns import COLUMNS, GLOSSARY
from poolkeeper.drill.report.document import Report, as_good, chief_of, is_extra, verdict_on
from poolkeeper.drill.report.svg import Line, chart

_STYLE = "page.css"

_CURVES: Sequence[tuple[str, Callable[[Point], float | None]]] = (
    ("successes per second", lambda point: point.ok),
    ("p99, ms", lambda point: point.p99_ms),
    ("connections", lambda point: point.connections),
)
_BAND = "The band in a curve is the time of the trouble."


def page(report: Report) -> str:
    """The whole file. Everything in it that was not written here is escaped."""
    style = files("poolkeeper.drill.report").joinpath(_STYLE).read_text(encoding="utf-8")
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>poolkeeper drill</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta name="color-scheme" content="light dark"><style>{style}</style></head><body>',
        *_opening(report),
        *_overview(report),
        *(f"<p>{escape(note)}</p>" for note in report.notes),
        *(part for runs in report.by_scenario for part in _section(report, runs)),
        f"<footer>{escape(GLOSSARY)} {escape(_BAND)}</footer></body></html>\n",
    ]
    return "\n".join(parts)


def _opening(report: Report) -> Iterator[str]:
    around = ", ".join(f"{name} {value}" for name, value in report.around.items())
    yield "<h1>poolkeeper drill</h1>"
    yield f"<p>{escape(report.date)}, {report.seconds:.0f} s. {escape(around)}.</p><dl>"
    for number, stack in enumerate(report.stacks):
        yield f"<dt>{_key(number)} {escape(stack.name)}</dt><dd>{escape(stack.summary)}</dd>"
    yield "</dl>"


def _overview(report: Report) -> Iterator[str]:
    stacks = [stack.name for stack in report.stacks]
    headings = ["scenario", "verdict", "as good", "figure", *stacks]
    yield _row("th", headings, '<div class="wide"><table class="overview"><thead>', "</thead><tbody>")
    for runs in report.by_scenario:
        scenario = runs[0].scenario
        found = {run.stack.name: _marked(run) for run in runs}
        link = f'<a href="#{escape(scenario.name)}">{escape(scenario.name)}</a>'
        about = _badge(verdict_on(runs)), escape(", ".join(as_good(runs))), escape(scenario.chief[0])
        yield _row("td", [link, *about, *(found.get(name, "") for name in stacks)])
    yield "</tbody></table></div>"


def _section(report: Report, runs: Sequence[Played]) -> Iterator[str]:
    scenario = runs[0].scenario
    yield f'<section id="{escape(scenario.name)}"><h2>{escape(scenario.name)} {_badge(verdict_on(runs))}</h2>'
    yield f"<p><b>{escape(scenario.question)}</b></p>"
    yield f"<p>Before: {escape(scenario.steady)}.</p><p>Predicted: {escape(scenario.predicted)}</p>"
    columns = ["stack", "expectation", *(name for name, _ in COLUMNS), *runs[0].figures.more]
    yield _row("th", [escape(name) for name in columns], '<div class="wide"><table><thead>', "</thead><tbody>")
    for run in runs:
        more = [f"{value:g}" for value in run.figures.more.values()]
        numbers = [escape(of(run.figures)) for _, of in COLUMNS]
        yield _row("td", [escape(run.stack.name), _met(run), *numbers, *more])
    yield "</tbody></table></div><ul>"
    for run in runs:
        yield f"<li>{escape(run.stack.name)}: {escape(run.verdict.reason or 'as expected')}. {_prediction(run)}</li>"
    yield "</ul>"
    yield f'<div class="curves">{"".join(_curves(report, runs))}</div>'
    yield f"<details><summary>settings</summary><dl>{''.join(map(_settings, runs))}</dl></details></section>"


def _curves(report: Report, runs: Sequence[Played]) -> Iterator[str]:
    style = {stack.name: number for number, stack in enumerate(report.stacks)}
    for title, of in _CURVES:
        lines = [
            Line(run.stack.name, style[run.stack.name], [(point.at, of(point)) for point in run.figures.curve])
            for run in runs
            if not is_extra(run)
        ]
        yield f"<figure>{chart(title, lines, runs[-1].figures.trouble)}</figure>"


def _settings(run: Played) -> str:
    """What the service was told beside its URL."""
    told = ", ".join(f"{name}={value}" for name, value in run.settings.items())
    return f"<dt>{escape(run.stack.name)}</dt><dd>{escape(told)}</dd>"


def _row(kind: str, cells: Sequence[str], before: str = "", after: str = "") -> str:
    """Of cells that are HTML already."""
    inner = "".join(f"<{kind}>{cell}</{kind}>" for cell in cells)
    return f"{before}<tr>{inner}</tr>{after}"


def _key(number: int) -> str:
    """How a stack's line looks in the curves."""
    return f'<svg class="key" viewBox="0 0 24 8"><polyline class="line s{number}" points="0,4 24,4"/></svg>'


def _badge(good: bool) -> str:
    return '<span class="good">good</span>' if good else '<span class="bad">not good</span>'


def _met(run: Played) -> str:
    return '<span class="good">met</span>' if run.verdict.good else '<span class="bad">not met</span>'


def _marked(run: Played) -> str:
    kind = "good" if run.verdict.good else "bad"
    return f'<span class="{kind}">{escape(chief_of(run))}</span>'


def _prediction(run: Played) -> str:
    return "As predicted." if run.as_predicted else "<b>Not as predicted.</b>"
