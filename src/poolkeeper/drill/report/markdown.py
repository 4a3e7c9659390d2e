"""The report of a drill as Markdown: for a repository, a pull request, the summary of a CI run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from poolkeeper.drill.play import Played
from poolkeeper.drill.report.columns import COLUMNS, GLOSSARY
from poolkeeper.drill.report.document import Report, as_good, chief_of, verdict_on

_MEANS_SOMETHING = str.maketrans({character: f"\\{character}" for character in "\\|<*["})


def markdown(report: Report) -> str:
    """The whole file. The curves and the settings of each run are in the other reports."""
    return "\n".join([*_opening(report), *_overview(report), *_sections(report)])


def _opening(report: Report) -> Iterator[str]:
    around = ", ".join(f"{name} {value}" for name, value in report.around.items())
    yield "# What a drill found\n"
    yield f"Written by `poolkeeper drill`, {_text(report.date)}, {report.seconds:.0f} s. {_text(around)}.\n"
    yield from (f"- **{_text(stack.name)}**: {_text(stack.summary)}" for stack in report.stacks)
    yield f"\n{GLOSSARY}\n"
    yield from (f"{_text(note)}\n" for note in report.notes)


def _overview(report: Report) -> Iterator[str]:
    stacks = [stack.name for stack in report.stacks]
    yield from _head(["scenario", "verdict", "as good", "figure", *stacks])
    for runs in report.by_scenario:
        scenario = runs[0].scenario
        found = {run.stack.name: _marked(run) for run in runs}
        link = f"[{_text(scenario.name)}](#{scenario.name})"
        about = _verdict(verdict_on(runs)), _text(", ".join(as_good(runs))), _text(scenario.chief[0])
        yield _row([link, *about, *(found.get(name, "") for name in stacks)])


def _sections(report: Report) -> Iterator[str]:
    for runs in report.by_scenario:
        scenario = runs[0].scenario
        yield f"\n## {_text(scenario.name)}\n"
        yield f"**{_text(scenario.question)}** {_verdict(verdict_on(runs)).capitalize()}.\n"
        yield f"Before: {_text(scenario.steady)}.\n"
        yield f"Predicted: {_text(scenario.predicted)}\n"
        yield from _figures(runs)
        yield ""
        yield from (f"- {_text(run.stack.name)}: {_said(run)}" for run in runs)
    yield ""


def _figures(runs: Sequence[Played]) -> Iterator[str]:
    """A column for each stack: side by side is what they are to be looked at."""
    yield from _head(["", *(_text(run.stack.name) for run in runs)])
    for name, of in COLUMNS:
        yield _row([name, *(of(run.figures) for run in runs)])
    for name in runs[0].figures.more:
        yield _row([_text(name), *(f"{run.figures.more[name]:g}" for run in runs)])


def _said(run: Played) -> str:
    met = f"not met: {_text(run.verdict.reason)}" if run.verdict.reason else "met"
    return f"{met}." if run.as_predicted else f"{met}. **Not as predicted.**"


def _marked(run: Played) -> str:
    return _text(chief_of(run)) if run.verdict.good else f"**{_text(chief_of(run))}**, not met"


def _verdict(good: bool) -> str:
    return "good" if good else "**not good**"


def _head(names: Sequence[str]) -> Iterator[str]:
    yield _row(names)
    yield _row(["---"] * len(names))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(words: str) -> str:
    """What was written elsewhere, so that it means nothing to Markdown."""
    return words.translate(_MEANS_SOMETHING)
