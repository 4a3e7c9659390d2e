"""The plan: which numbers fit, why, and what to change where they do not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from poolkeeper.model import Finding, errors_in
from poolkeeper.planner import verdict
from poolkeeper.planner.budget import Budget, budget_of
from poolkeeper.planner.changes import Change, changes_for
from poolkeeper.planner.figures import QueueFigures, assumption_of, knee_of, pooler_queues_of, queues_of
from poolkeeper.planner.problems import problems_in
from poolkeeper.planner.queueing import Knee
from poolkeeper.planner.refused import WorkloadRefused
from poolkeeper.planner.rules import Rule, rules_for
from poolkeeper.planner.sizing import Sizing, sizing_of
from poolkeeper.planner.workload import Service, Workload

_SIZED = ("pool_size", "max_overflow", "pool_timeout", "max_waiting", "recycle")


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """One service: the numbers of its pools, and what callers meet there.

    `knee` is in checkouts per second of the whole service. `pooler_queues` is empty without a pooler that shares
    connections.
    """

    service: Service
    sizing: Sizing
    queues: tuple[QueueFigures, ...]
    pooler_queues: tuple[QueueFigures, ...]
    knee: Knee
    assumption: str

    def as_dict(self) -> dict[str, object]:
        """The plan of the service as plain values, for JSON."""
        return {
            "sizing": {name: getattr(self.sizing, name).as_dict() for name in _SIZED},
            "queues": [queue.as_dict() for queue in (*self.queues, *self.pooler_queues)],
            "knee": asdict(self.knee),
            "assumption": self.assumption,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that was worked out. It `fits` where no finding is an error; each change is enough."""

    workload: Workload
    services: tuple[ServicePlan, ...]
    budget: Budget
    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]
    changes: tuple[Change, ...]

    @property
    def fits(self) -> bool:
        return not errors_in(self.findings)

    def of(self, name: str) -> ServicePlan:
        """The plan of the service of this name. Raises KeyError."""
        for one in self.services:
            if one.service.name == name:
                return one
        raise KeyError(name)

    def as_dict(self) -> dict[str, object]:
        """The plan as plain values, for JSON."""
        return {
            "fits": self.fits,
            "services": {one.service.name: one.as_dict() for one in self.services},
            "budget": {ledger.title: ledger.as_dict() for ledger in self.budget.ledgers},
            "rules": [rule.as_dict() for rule in self.rules],
            "findings": [finding.as_dict() for finding in self.findings],
            "changes": [change.as_dict() for change in self.changes],
        }


def plan(workload: Workload) -> Plan:
    """Work out which numbers fit. Raises `WorkloadRefused` with everything that is wrong with the workload."""
    if problems := problems_in(workload):
        raise WorkloadRefused(problems)
    sizings, services = _services(workload)
    budget = budget_of(workload, sizings)
    findings = tuple(sorted(_findings(workload, services, budget), key=_by_severity))
    changes = changes_for(workload, _fits) if errors_in(findings) else ()
    return Plan(workload, services, budget, rules_for(workload, sizings, budget), findings, changes)


def _services(workload: Workload) -> tuple[Mapping[str, Sizing], tuple[ServicePlan, ...]]:
    sizings = {one.name: sizing_of(one, workload.server) for one in workload.services}
    return sizings, tuple(_service(one, sizings[one.name], workload) for one in workload.services)


def _service(service: Service, sizing: Sizing, workload: Workload) -> ServicePlan:
    pooler = workload.server.pooler if service.pooler else None
    behind = () if pooler is None or pooler.mode == "session" else pooler_queues_of(service, sizing, pooler)
    return ServicePlan(
        service, sizing, queues_of(service, sizing), behind, knee_of(service, sizing), assumption_of(service)
    )


def _findings(workload: Workload, services: Iterable[ServicePlan], budget: Budget) -> Iterator[Finding]:
    yield from verdict.of_budget(workload, {one.service.name: one.sizing for one in services}, budget)
    for one in services:
        yield from verdict.of_service(one.service, one.sizing, (*one.queues, *one.pooler_queues))
    yield from verdict.of_server(workload)


def _fits(workload: Workload) -> bool:
    if problems_in(workload):
        return False
    sizings, services = _services(workload)
    return not errors_in(tuple(_findings(workload, services, budget_of(workload, sizings))))


def _by_severity(finding: Finding) -> int:
    return ("error", "warning", "info").index(finding.severity)
