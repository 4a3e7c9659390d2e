"""How pictures look: a few colours with a meaning, on paper and in the dark."""

# What matplotlib takes has types; what it passes on to its artists has none.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What each colour says, and its variable in the page.
LIGHT: Mapping[str, str] = {
    "paper": "#ffffff",
    "text": "#1a2530",
    "quiet": "#566370",
    "line": "#dfe5e9",
    "use": "#2c6a8f",
    "idle": "#a9c8d8",
    "wait": "#8f5200",
    "coming": "#d5b26b",
    "good": "#23754b",
    "bad": "#b02a25",
}
DARK: Mapping[str, str] = {
    "paper": "#182027",
    "text": "#e4eaee",
    "quiet": "#9aa8b3",
    "line": "#2a353e",
    "use": "#5fa6cc",
    "idle": "#4f7485",
    "wait": "#e5ab57",
    "coming": "#8a7440",
    "good": "#6cc596",
    "bad": "#f0847c",
}
SIZE = 7.6, 4.4  # inches
DOTS = 160  # per inch


def in_digits(number: float) -> str:
    """A number as people read it: four digits, never an exponent for what is large."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def new_figure() -> Figure:
    """An empty figure that no window knows of."""
    from matplotlib.figure import Figure

    return Figure(figsize=SIZE, layout="constrained", facecolor=LIGHT["paper"])


def plain(axes: Axes) -> None:
    """A quiet frame: a ground line, horizontal lines to read from, small figures."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LIGHT["quiet"])
    axes.set_facecolor(LIGHT["paper"])
    axes.grid(visible=True, axis="y", color=LIGHT["line"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=LIGHT["quiet"], labelcolor=LIGHT["text"], labelsize=9, length=3)
    axes.tick_params(axis="y", which="both", length=0)


def finished(axes: Axes, columns: int = 2) -> Figure:
    """The figure, with a legend above it, where it covers nothing."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 - for the type checkers
    handles: list[Any]
    handles, labels = axes.get_legend_handles_labels()
    look: dict[str, Any] = {"frameon": False, "fontsize": 9, "labelcolor": LIGHT["text"], "handlelength": 1.6}
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, **look)
    figure.align_ylabels()
    return figure


@contextmanager
def titled(figure: Figure, title: str) -> Generator[None]:
    """The title stands above the legend until the block ends."""
    from matplotlib.font_manager import FontProperties

    (legend,) = figure.legends
    legend.set_title(title, prop=FontProperties(size=11, weight="bold"))
    legend.set_alignment("left")
    legend.get_title().set_color(LIGHT["text"])
    try:
        yield
    finally:
        legend.set_title("")
