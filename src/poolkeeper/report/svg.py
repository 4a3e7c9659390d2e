"""Pictures for a page: its colours, its text as text, and in words what they show."""

# What matplotlib takes has types; what it passes on to its artists has none.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import re
from html import escape
from io import StringIO
from typing import TYPE_CHECKING

from poolkeeper.report.looks import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Verdana has the widths of DejaVu Sans, with which the places of labels are reckoned.
FONTS = "DejaVu Sans, Verdana, sans-serif"


def svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The figure for a page: colours are the page's, text stays text, and it says in words what it shows."""
    import matplotlib as mpl

    out = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _for_page(out.getvalue(), name, title, description)


def _for_page(text: str, name: str, title: str, description: str) -> str:
    found = text[text.index("<svg") :]
    for role, colour in LIGHT.items():
        found = re.sub(re.escape(colour), f"var(--{role})", found, flags=re.IGNORECASE)
    found = re.sub(r"<metadata>.*?</metadata>", "", found, flags=re.DOTALL)
    # Several pictures share the page: each names its parts for itself.
    found = re.sub(r'\bid="', f'id="{name}-', found)
    found = re.sub(r'((?:xlink:)?href="|url\()#', rf"\1#{name}-", found)
    found = re.sub(r"font(-family)?: [^;\"]*sans-serif[^;\"]*", _font, found)
    view = re.search(r'viewBox="[^"]+"', found)
    assert view is not None  # noqa: S101 - matplotlib always writes one
    body = found[found.index(">") + 1 :]
    labels = f'role="img" aria-labelledby="{name}-title {name}-desc"'
    words = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    return f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {view[0]} {labels}>{words}{body}'


def _font(match: re.Match[str]) -> str:
    size = re.search(r"[\d.]+px", match[0])
    return f"font-family: {FONTS}" if size is None else f"font: {size[0]} {FONTS}"
