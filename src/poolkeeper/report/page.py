"""A page that needs nothing but itself: no script, no font or picture from elsewhere, on paper and in the dark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from poolkeeper.report.looks import DARK, LIGHT
from poolkeeper.report.pictures import Picture
from poolkeeper.report.svg import svg

# Longer cells are words, which may take more than one line.
_A_NUMBER = 20


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; the first cell of each names it. `bad` are the rows that are a problem, by number."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    bad: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, what is said in sentences, and what is shown. `folded` tables are opened by whoever wants them."""

    heading: str
    sentences: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    folded: Sequence[Table] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What the page is about, the answer in one sentence, whether that is good, and the rest."""

    title: str
    verdict: str
    is_good: bool
    sections: Sequence[Section]

    def html(self) -> str:
        """The page as one file."""
        return "\n".join(_page(self)) + "\n"


def _page(page: Page) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">'
    # The page asks for nothing, and nothing in a name of a service can make it.
    yield """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">"""
    yield f"<title>{escape(page.title)}</title>\n<style>\n{_variables(LIGHT)}"
    yield f"@media screen and (prefers-color-scheme: dark) {{\n{_variables(DARK)}\n}}"
    yield f"{_STYLE}</style>\n</head>\n<body>"
    yield f"<h1>{escape(page.title)}</h1>"
    yield f'<p class="verdict {"good" if page.is_good else "bad"}">{escape(page.verdict)}</p>'
    for section in page.sections:
        yield from _section(section)
    yield "</body>\n</html>"


def _section(section: Section) -> Iterator[str]:
    yield f"<section>\n<h2>{escape(section.heading)}</h2>"
    yield from (f"<p>{escape(sentence)}</p>" for sentence in section.sentences)
    for table in section.tables:
        yield from _table(table)
    for picture in section.pictures:
        drawn = svg(picture.figure, picture.name, picture.title, picture.description)
        yield f'<figure>\n<div class="picture" tabindex="0">{drawn}</div>'
        yield f"<figcaption><b>{escape(picture.title)}.</b> {escape(picture.description)}</figcaption>\n</figure>"
    for table in section.folded:
        yield f"<details>\n<summary>{escape(table.caption)}</summary>"
        yield from _table(table)
        yield "</details>"
    yield "</section>"


def _table(table: Table) -> Iterator[str]:
    words = any(len(cell) > _A_NUMBER for row in table.rows for cell in row[1:])
    kind = " class=words" if words else ""
    yield f'<div class="wide" tabindex="0"><table{kind}>\n<caption>{escape(table.caption)}</caption>'
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    yield f"<thead><tr>{heads}</tr></thead>\n<tbody>"
    for number, (name, *cells) in enumerate(table.rows):
        row = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        yield f'<tr{" class=bad" if number in table.bad else ""}><th scope="row">{escape(name)}</th>{row}</tr>'
    yield "</tbody></table></div>"


def _variables(colours: Mapping[str, str]) -> str:
    inside = " ".join(f"--{role}: {colour};" for role, colour in colours.items())
    return f":root {{ {inside} }}"


_STYLE = """\
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 62rem; padding: 1.5rem 1.25rem 4rem;
  background: var(--paper); color: var(--text); font: .9375rem/1.55 system-ui, sans-serif;
  font-variant-numeric: tabular-nums;
}
h1 { font-size: 1.25rem; margin: 0 0 .6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.0625rem; margin: 2.4rem 0 .6rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; max-width: 46rem; }
.verdict { font-size: 1.25rem; line-height: 1.35; font-weight: 600; margin: 0; }
.verdict.good { color: var(--good); }
.verdict.bad, tr.bad td, tr.bad th { color: var(--bad); }
tr.bad th, tr.bad td { font-weight: 700; }
.wide, .picture { overflow-x: auto; }
table { border-collapse: collapse; margin: .8rem 0; font-size: .875rem; }
caption { text-align: left; color: var(--quiet); padding-bottom: .25rem; }
details caption { display: none; }
th, td { text-align: left; vertical-align: top; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); }
thead th { color: var(--quiet); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 600; white-space: nowrap; }
figure { margin: 1.2rem 0; }
figure svg { display: block; width: 100%; min-width: 32rem; max-width: 52rem; height: auto; }
figcaption { color: var(--quiet); font-size: .875rem; max-width: 46rem; }
figcaption b { color: var(--text); }
summary { cursor: pointer; color: var(--use); margin: .4rem 0; }
:focus-visible { outline: 2px solid var(--use); outline-offset: 2px; }
@media (max-width: 44rem) { .words td { min-width: 10rem; } }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  section, figure, table { break-inside: avoid; }
  figure svg { max-width: 17cm; min-width: 0; }
  .wide, .picture { overflow: visible; }
}
"""
