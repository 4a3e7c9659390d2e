"""Connections while all services are deployed at once: new pods start, old ones finish their requests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from poolkeeper.planner.budget import available, margin_of
from poolkeeper.planner.sizing import Sizing
from poolkeeper.planner.workload import Service, Workload


@dataclass(frozen=True, slots=True)
class Step:
    """One moment, in connections of pods of the old and of the new version, of pods on their way out, and of a pooler's
    to the server."""

    old: int
    new: int
    leaving: int
    pooled: int

    @property
    def connections(self) -> int:
        return self.old + self.new + self.leaving + self.pooled


@dataclass(frozen=True, slots=True)
class Rollout:
    """The steps, what others have beside them (`others` clients, and the `margin` for cancelled requests), what the
    server grants ordinary roles (`granted`), and what the plan may use of that (`usable`)."""

    steps: tuple[Step, ...]
    others: int
    margin: int
    granted: int
    usable: int

    @property
    def most(self) -> int:
        """The most connections of any step, with those of others."""
        return self.others + self.margin + max(step.connections for step in self.steps)


def rollout_of(workload: Workload, sizings: Mapping[str, Sizing]) -> Rollout:
    """A deploy of all services at once, as the plan counts it."""
    server, margin = workload.server, margin_of(workload.services).value
    direct = [one for one in workload.services if server.pooler is None or not one.pooler]
    pooled = 0 if server.pooler is None else server.pooler.pool_size * server.pooler.instances
    pooled *= len(workload.services) - len(direct)
    moments = [list(_moments(one, sizings[one.name].capacity)) for one in direct]
    return Rollout(
        tuple(Step(*added, pooled) for added in _together(moments)),
        server.other_clients,
        margin,
        server.max_connections - server.reserved,
        available(workload).value + server.other_clients + margin,
    )


Moment = tuple[int, int, int]


def _together(fleets: Sequence[Sequence[Moment]]) -> Iterator[Moment]:
    """The sums of all fleets, each of which stays as it is after its last moment."""
    if not fleets:
        yield 0, 0, 0
    for moments in zip_longest(*fleets):
        each = [fleet[-1] if moment is None else moment for moment, fleet in zip(moments, fleets, strict=True)]
        yield sum(one[0] for one in each), sum(one[1] for one in each), sum(one[2] for one in each)


def _moments(service: Service, capacity: int) -> Iterator[Moment]:
    of_a_pod = service.workers * capacity + service.background / service.pods
    for old, new, leaving in _pods(service):
        yield math.ceil(old * of_a_pod), math.ceil(new * of_a_pod), math.ceil(leaving * of_a_pod)


def _pods(service: Service) -> Iterator[Moment]:
    """Pods of the old version, of the new one, and leaving; where nothing may be added, a place is made first."""
    pods, surge, most_leaving = service.pods, service.surge.of(service.pods), service.pods_leaving(service.pods)
    old, new, leaving = pods, 0, 0
    yield old, new, leaving
    while old:
        if surge:
            new += min(surge, pods - new)
            yield old, new, leaving
        stopped = min(surge or 1, old)
        old, leaving = old - stopped, min(most_leaving, leaving + stopped)
        yield old, new, leaving
        if not surge:
            new += stopped
            yield old, new, leaving
    yield old, new, 0
