"""A curve over time as inline SVG; colours and fonts come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 320, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 8, 20, 20
_STEPS = 1, 2, 5, 10


@dataclass(frozen=True, slots=True)
class Line:
    """One stack's values over seconds; None is a gap. `style` is the number of its class in the style sheet."""

    name: str
    style: int
    points: Sequence[tuple[float, float | None]]


def chart(title: str, lines: Sequence[Line], trouble: tuple[float, float]) -> str:
    """An <svg> element: one polyline for each line, and a band where there was `trouble` (its begin and end)."""
    seconds = max((at for line in lines for at, _ in line.points), default=1.0) or 1.0
    top = _round_up(max((value for line in lines for _, value in line.points if value is not None), default=1.0))
    scale = _Scale(seconds, top)
    words = escape(title)
    drawn = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{words}">',
        f'<text x="{_LEFT}" y="12">{words}</text>',
        _band(scale, trouble),
        *_axes(scale),
        *(part for line in lines for part in _polylines(scale, line)),
        "</svg>",
    ]
    return "".join(drawn)


@dataclass(frozen=True, slots=True)
class _Scale:
    seconds: float
    top: float

    def x(self, at: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * min(at, self.seconds) / self.seconds, 1)

    def y(self, value: float) -> float:
        return round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / self.top, 1)


def _round_up(value: float) -> float:
    """The next number that reads well on an axis."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in _STEPS if step * power >= value * 0.999)


def _band(scale: _Scale, trouble: tuple[float, float]) -> str:
    begin, end = (scale.x(moment) for moment in trouble)
    width, height = max(1.0, round(end - begin, 1)), _HEIGHT - _TOP - _BOTTOM
    return f'<rect class="trouble" x="{begin}" y="{_TOP}" width="{width}" height="{height}"/>'


def _axes(scale: _Scale) -> Iterator[str]:
    for value in (0.0, scale.top / 2, scale.top):
        y = scale.y(value)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text class="tick" text-anchor="end" x="{_LEFT - 4}" y="{y + 3}">{value:g}</text>'
    step = max(1, math.ceil(scale.seconds / 8))
    for second in range(0, int(scale.seconds) + 1, step):
        yield f'<text class="tick" text-anchor="middle" x="{scale.x(second)}" y="{_HEIGHT - 6}">{second} s</text>'


def _polylines(scale: _Scale, line: Line) -> Iterator[str]:
    """One for each stretch without a gap."""
    stretch: list[str] = []
    for at, value in [*line.points, (0.0, None)]:
        if value is not None:
            stretch.append(f"{scale.x(at)},{scale.y(value)}")
        elif stretch:
            yield f'<polyline class="line s{line.style}" points="{" ".join(stretch)}"/>'
            stretch = []
