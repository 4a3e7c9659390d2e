"""The figures of a run, as reports show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from poolkeeper.drill.figures import Figures

COLUMNS: Sequence[tuple[str, Callable[[Figures], str]]] = (
    ("requests", lambda f: str(f.requests)),
    ("ok", lambda f: str(f.ok)),
    ("refused", lambda f: str(f.refused)),
    ("failed", lambda f: str(f.failed)),
    ("wrong", lambda f: "-" if f.wrong is None else str(f.wrong)),
    ("p50 ms", lambda f: f"{f.p50_ms:.0f}"),
    ("p99 ms", lambda f: f"{f.p99_ms:.0f}"),
    ("max ms", lambda f: f"{f.max_ms:.0f}"),
    ("slowest refusal ms", lambda f: f"{f.refused_ms:.0f}" if f.refused else "-"),
    ("longest gap s", lambda f: f"{f.longest_gap:.2f}"),
    ("well after s", lambda f: "not" if f.healthy_after is None else f"{f.healthy_after:.2f}"),
    ("connections", lambda f: str(f.connections_peak)),
    ("connects", lambda f: str(f.connects)),
    ("at once", lambda f: "-" if f.connects_at_once is None else str(f.connects_at_once)),
    ("in 100 ms", lambda f: str(f.connects_in_100_ms)),
    ("left on the server", lambda f: str(f.backends_left)),
    ("slots left", lambda f: "-" if f.slots_left is None else f"{f.slots_left} of {f.slots}"),
)

GLOSSARY = (
    "Refused: a 503 that says when to come back. Failed: any other error, or no answer in time. Wrong: a success whose "
    "work is not there, or is there twice. Latencies are those of successes, from the moment at which the request was "
    "due. Well after: from the end of the trouble to the last request that did not succeed. At once: "
    "connects under way at the same moment, seen from outside. As good: other stacks that met all that was expected."
)
