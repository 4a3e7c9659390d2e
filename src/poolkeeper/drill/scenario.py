"""What a scenario is. Each is a file in `scenarios/` with one `SCENARIO`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import MappingProxyType

from poolkeeper.drill.figures import Figures, Observed
from poolkeeper.drill.paths import PathLoad
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.stacks import Stack
from poolkeeper.drill.stage import Site, Stage
from poolkeeper.drill.verdict import Check

Fault = Callable[[Stage], None]
Props = Callable[[Site], AbstractContextManager[Mapping[str, str]]]


def _nothing(_stage: Stage) -> None: ...


def _no_props(_site: Site) -> AbstractContextManager[Mapping[str, str]]:
    return nullcontext({})


def _nothing_missing() -> str:
    return ""


def _no_more(_seen: Observed) -> dict[str, float]:
    return {}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One question, put to each stack on real servers.

    `steady` tells what goes on before the fault, and `predicted` what should come of it; the stacks in `breaks` should
    not meet the expectation. Where one of them does, the fault has not shown what it was made to show.

    The service starts with `settings` (of every stack), and makes a `mistake` of `orders.faults` where one is named;
    `props` are put up on the site for as long as it runs, and tell the environment variables by which it finds them;
    where `missing` names something that this machine has not, the scenario is not played. It has `workers`. `extra`
    stacks play this one only. All its
    connections are `opened`, `before` is run, then the `load` begins, `fault_at` seconds later the `fault`, which
    returns when the trouble is over. `ending` is run after the load, before anything is counted. `measure` takes from
    all that was observed what only this scenario is about, `expect` makes checks of the figures: both are pure.
    `intrusive` is why it may not be played on a server of others, empty where its faults need no more than the proxy
    and what the service's role may do to its own connections.
    `chief` is the figure for the table, after what it is called.
    """

    name: str
    question: str
    steady: str
    predicted: str
    breaks: frozenset[str]
    load: PhasedLoad | PathLoad
    expect: Callable[[Figures], Iterable[Check]]
    chief: tuple[str, Callable[[Figures], str]]
    fault: Fault = _nothing
    fault_at: float = 0.0
    before: Fault = _nothing
    ending: Fault = _nothing
    measure: Callable[[Observed], dict[str, float]] = _no_more
    opened: bool = True
    quick: bool = False
    settings: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    mistake: str | None = None
    props: Props = _no_props
    missing: Callable[[], str] = _nothing_missing
    workers: int = 1
    extra: tuple[Stack, ...] = ()
    intrusive: str = "it needs a server of the drill's own"
