"""Plays a scenario on a stack: real server, real network, real service, and a load from a process of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass

from poolkeeper.drill.connects import Connects
from poolkeeper.drill.figures import Figures, Observed, figures_of
from poolkeeper.drill.ground import Ground
from poolkeeper.drill.load_process import LoadProcess
from poolkeeper.drill.phased import Outcome
from poolkeeper.drill.sampler import Sampler
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Site, Stage
from poolkeeper.drill.subject import Subject
from poolkeeper.drill.verdict import Verdict, judge
from poolkeeper.testing import FaultProxy

# Seconds. What is over for a client reaches the server and the pool a moment later.
_SETTLE = 0.5


@dataclass(frozen=True, slots=True)
class Played:
    """A scenario on a stack, and how it ended."""

    scenario: Scenario
    stack: Subject
    figures: Figures
    verdict: Verdict

    @property
    def settings(self) -> dict[str, str]:
        """What the service was told beside its URL."""
        return self.stack.settings(self.scenario)

    @property
    def as_predicted(self) -> bool:
        return self.verdict.good != (self.stack.name in self.scenario.breaks)


def play(scenario: Scenario, subject: Subject, ground: Ground) -> Played:
    """Play it, count, and judge.

    Raises `ServiceFailed` where the service cannot start, `EmbeddedPostgresError`, and RuntimeError when the load's
    process fails. Whatever happens, nothing is left running.
    """
    server, connects = ground.server, Connects()
    with (
        ground.spot() as spot,
        FaultProxy(server.host, server.port, witness=connects.listen) as proxy,
        Sampler(proxy) as sampler,
        scenario.props(site := Site(server, spot.database, proxy, spot.folder)) as props,
    ):
        url = proxy.url(server.url(database=spot.database))
        service = subject.service(scenario, url, spot.folder, {**spot.environment, **props})
        stage = Stage(server, spot.database, proxy, service, site=site, prefix=spot.prefix)
        with service:
            outcomes, behind = _under_load(scenario, subject, stage)
            samples = sampler.since(stage.marks["opened"], stage.begins)
            connecting = connects.since(stage.marks["opened"], stage.begins)
            scenario.ending(stage)
            stage.wait(_SETTLE)
            in_use, causes = subject.look(stage) if service.running else (None, ())
        seen = Observed(
            stack=subject.name,
            connections=subject.connections,
            outcomes=tuple(outcomes),
            samples=samples,
            marks={name: moment - stage.begins for name, moment in stage.marks.items()},
            counts=stage.counts,
            books=subject.audit(stage, outcomes),
            in_use=in_use,
            backends_left=_backends(stage),
            behind=behind,
            causes=causes,
            connecting=connecting,
        )
    figures = figures_of(seen, scenario.measure(seen))
    return Played(scenario, subject, figures, judge(figures, scenario.expect(figures)))


def _under_load(scenario: Scenario, subject: Subject, stage: Stage) -> tuple[list[Outcome], float]:
    """Every request, and how far (seconds) their sending fell behind."""
    if scenario.opened:
        subject.open_connections(stage)
    stage.mark("opened")
    scenario.before(stage)
    with LoadProcess(stage.service.address, scenario.load) as load:
        stage.begins = load.began()
        stage.wait_until(scenario.fault_at)
        with stage.fault():
            scenario.fault(stage)
        return load.outcomes(), load.result().behind_ms / 1000


def _backends(stage: Stage) -> int:
    """The connections that the ended service has left on the server."""
    deadline = time.monotonic() + _SETTLE
    while (left := stage.backends()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
