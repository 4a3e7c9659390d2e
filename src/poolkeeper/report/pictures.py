"""The pictures of a plan, with matplotlib (extra `plan`); nothing of it is imported before one is drawn."""

# What matplotlib takes has types; what it passes on to its artists has none.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from poolkeeper.planner.curves import Curves, Point
from poolkeeper.planner.quantities import in_words
from poolkeeper.planner.rollout import Rollout
from poolkeeper.report.looks import DOTS, LIGHT, finished, in_digits, new_figure, plain, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import Locator

# Nobody minds a shorter wait than this (seconds); the axis begins here.
_SHORTEST = 0.001
_NONE_LOST = 0.0005


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with its file's name, its title, and what it shows, in words."""

    name: str
    title: str
    description: str
    figure: Figure

    def png(self) -> bytes:
        """The picture as a file of its own, with its title."""
        out = BytesIO()
        # A page has the title beside the picture.
        with titled(self.figure, self.title):
            told = {"Title": self.title, "Description": self.description}
            self.figure.savefig(out, format="png", dpi=DOTS, metadata=told)
        return out.getvalue()


@dataclass(frozen=True, slots=True)
class Mark:
    """A point of a curve that has a name."""

    label: str
    colour: str
    shape: str
    x: float
    point: Point


def load_picture(curves: Curves) -> Picture:
    """p99 wait and the share that is not served against the load, with the knee, today and the burst."""
    service = curves.service
    peak = Mark("peak", "text", "o", curves.peak.rate, curves.peak)
    burst = Mark("burst", "wait", "D", curves.burst.rate, curves.burst)
    xs = [point.rate for point in curves.by_rate]
    both = _waits(curves.by_rate, xs, (peak, burst), "/s", "checkouts per second, all processes")
    _upright(both, curves.knee, "good", f"knee: {in_digits(curves.knee)}/s, p99 wait = hold")
    _upright(both, curves.full, "bad", f"full: {in_digits(curves.full)}/s", dashes=(1, 1.5))
    figure = finished(both[0])
    where = "beyond" if curves.peak.rate > curves.knee else "below"
    description = (
        f"{service.processes} processes with {curves.sizing.capacity} connections each are full at "
        f"{in_digits(curves.full)} checkouts per second; from {in_digits(curves.knee)} on (the knee) waiting grows "
        f"faster than what it buys. {_told(peak)}: {where} the knee. {_told(burst)}."
    )
    return Picture(f"load-{_in_a_file(service.name)}", f"{service.name}: waiting against load", description, figure)


def hold_picture(curves: Curves) -> Picture:
    """p99 wait and the share that is not served against the hold time, at the load of the peak."""
    service = curves.service
    peak = Mark("planned", "text", "o", curves.peak.hold * 1000, curves.peak)
    xs = [point.hold * 1000 for point in curves.by_hold]
    label = f"mean hold, ms, at {in_digits(curves.peak.rate)} checkouts per second"
    both = _waits(curves.by_hold, xs, (peak,), " ms", label)
    _upright(both, curves.full_hold * 1000, "bad", f"full: {in_digits(curves.full_hold * 1000)} ms", dashes=(1, 1.5))
    figure = finished(both[0])
    ratio = curves.full_hold / service.hold
    room = f"{in_digits(ratio)} times what is planned" if ratio > 1 else "no longer than planned"
    description = (
        f"At {in_digits(curves.peak.rate)} checkouts per second all connections are in use once they are held for "
        f"{in_words(curves.full_hold)}, {room}. With the planned {in_words(service.hold)}: {_outcome(curves.peak)}."
    )
    return Picture(
        f"hold-{_in_a_file(service.name)}", f"{service.name}: sensitivity to the hold time", description, figure
    )


def deploy_picture(rollout: Rollout) -> Picture:
    """Connections over a rolling deploy of all services at once, against the server's limit."""
    axes = new_figure().add_subplot()
    plain(axes)
    _stack(axes, rollout)
    axes.axhline(rollout.granted, color=LIGHT["bad"], linewidth=1.6, label=f"granted by the server: {rollout.granted}")
    axes.axhline(
        rollout.usable, color=LIGHT["text"], linewidth=1.4, dashes=(4, 2), label=f"after headroom: {rollout.usable}"
    )
    axes.set_ylim(0, 1.06 * max(rollout.granted, rollout.most))
    axes.set_xlim(0, len(rollout.steps))
    axes.set_xticks([])
    axes.set_xlabel("time", color=LIGHT["text"], fontsize=9, loc="right")
    axes.yaxis.set_major_locator(_whole_numbers())
    axes.set_ylabel("connections", color=LIGHT["text"], fontsize=9)
    figure = finished(axes, columns=3)
    bounds = (("the server grants", rollout.granted), ("the headroom leaves", rollout.usable))
    over = next((f"{rollout.most - bound} more than {name}" for name, bound in bounds if rollout.most > bound), None)
    description = (
        f"All services deployed at once: at most {rollout.most} connections, "
        f"{over or f'{rollout.usable - rollout.most} below what may be used'}. The server grants ordinary roles "
        f"{rollout.granted}, of which {rollout.usable} are left after the headroom; {rollout.others} are those of "
        f"other clients, and {rollout.margin} are kept for requests that were cancelled."
    )
    return Picture("deploy", "Connections over a rolling deploy", description, figure)


def _stack(axes: Axes, rollout: Rollout) -> None:
    count = len(rollout.steps)
    layers = (
        ("other clients", "idle", [rollout.others] * count),
        ("for cancelled requests", "wait", [rollout.margin] * count),
        ("of the pooler", "quiet", [step.pooled for step in rollout.steps]),
        ("old version", "use", [step.old for step in rollout.steps]),
        ("new version", "good", [step.new for step in rollout.steps]),
        ("on their way out", "coming", [step.leaving for step in rollout.steps]),
    )
    xs, ground = list(range(count + 1)), [0] * count
    for label, colour, numbers in layers:
        top = [low + number for low, number in zip(ground, numbers, strict=True)]
        if any(numbers):
            lows, tops = [*ground, ground[-1]], [*top, top[-1]]
            axes.fill_between(xs, lows, tops, label=label, step="post", color=LIGHT[colour], linewidth=0)
        ground = top


def _waits(
    points: Sequence[Point], xs: Sequence[float], marks: Sequence[Mark], unit: str, label: str
) -> tuple[Axes, Axes]:
    """Waits above, losses below, over the same axis."""
    above, below = new_figure().subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for axes in (above, below):
        plain(axes)
    # Below the axis where nobody waits.
    waits = [max(point.figures.wait_p99, _SHORTEST / 10) for point in points]
    above.plot(xs, waits, color=LIGHT["use"], linewidth=2.2, label="p99 wait of the served")
    above.set_yscale("log")
    above.set_ylim(_SHORTEST, 3 * max(10 * _SHORTEST, *waits))
    above.yaxis.set_major_formatter(_seconds)
    above.yaxis.set_minor_locator(_no_ticks())
    above.set_ylabel("p99 wait", color=LIGHT["text"], fontsize=9)
    lost = [100 * point.figures.lost for point in points]
    below.fill_between(xs, lost, color=LIGHT["bad"], alpha=0.55, linewidth=0)
    below.set_ylim(0, max(10.0, 1.1 * max(lost)))
    below.yaxis.set_major_formatter(_percent)
    below.set_ylabel("not served", color=LIGHT["text"], fontsize=9)
    below.set_xlabel(label, color=LIGHT["text"], fontsize=9)
    below.xaxis.set_major_formatter(_number)
    for mark in marks:
        _draw(above, mark, unit, xs[-1])
    above.set_xlim(0, xs[-1])
    return above, below


def _draw(axes: Axes, mark: Mark, unit: str, end: float) -> None:
    """The mark, at the edge where it lies beyond; its figures stand in the legend, where they cover nothing."""
    label = f"{mark.label}: {in_digits(mark.x)}{unit}, {_outcome(mark.point)}"
    place = min(mark.x, end), max(mark.point.figures.wait_p99, _SHORTEST)
    axes.plot(
        [place[0]],
        [place[1]],
        mark.shape,
        color=LIGHT[mark.colour],
        markersize=8,
        markeredgecolor=LIGHT["paper"],
        markeredgewidth=1.2,
        linestyle="none",
        clip_on=False,
        zorder=5,
        label=label,
    )


def _upright(both: tuple[Axes, Axes], x: float, colour: str, label: str, dashes: tuple[float, float] = (4, 2)) -> None:
    for axes in both:
        axes.axvline(x, color=LIGHT[colour], linewidth=1.4, dashes=dashes, label=label, zorder=1.5)


def _seconds(value: float, _place: object) -> str:
    return in_words(value)


def _percent(value: float, _place: object) -> str:
    return f"{value:g} %"


def _number(value: float, _place: object) -> str:
    return in_digits(value)


def _in_a_file(name: str) -> str:
    return re.sub(r"[^\w-]", "-", name)


def _told(mark: Mark) -> str:
    return f"At the {mark.label} ({in_digits(mark.point.rate)}/s) {_outcome(mark.point)}"


def _outcome(point: Point) -> str:
    figures = point.figures
    wait = "no wait" if figures.wait_p99 < _SHORTEST else f"p99 wait {in_words(figures.wait_p99)}"
    return wait if figures.lost < _NONE_LOST else f"{wait}, {100 * figures.lost:.2g} % not served"


def _no_ticks() -> Locator:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _whole_numbers() -> Locator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True)
