"""What `poolkeeper plan` foretells beside what is measured: six workloads on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from statistics import fmean

from bench.plan_measured import (
    APP_POOL,
    NO_SHARE,
    NO_WAIT,
    PATIENCE,
    POOL,
    POOL_TIMEOUT,
    SECONDS,
    SERVICES,
    USERS,
    WARM_UP,
    WORKLOADS,
    Figures,
    Measured,
    Workload,
    behind_pgbouncer,
    direct,
    pooler_plan,
    running_pgbouncer,
)
from bench.report import Cell, Report, Table, progress, quantile, run

from poolkeeper.planner import simulate as sim
from poolkeeper.planner.losses import losses, standing_queue
from poolkeeper.policy import Limits
from poolkeeper.testing import EmbeddedPostgres

# As far as a prediction may be off.
WITHIN = 0.15
SEEDS = 20


def by_formula(measured: Measured) -> Figures:
    hold = fmean(measured.holds)
    places = standing_queue(hold, measured.places, timeout=POOL_TIMEOUT, client_timeout=PATIENCE)
    found = losses(
        measured.rate, hold, measured.places, timeout=POOL_TIMEOUT, max_waiting=places, hold_scv=measured.scv
    )
    return Figures(found.utilisation, found.mean_wait, found.quantile(0.99), found.refused + found.timed_out)


def replayed(measured: Measured, pooler: sim.Pooler | None) -> Figures:
    """The simulation with the very requests that were measured: when they came, and how long they held."""
    first = measured.requests[0].asked
    scenario = sim.Scenario(
        arrivals=sim.Trace(tuple(request.asked - first for request in measured.requests)),
        endpoints=(sim.Endpoint(measured.same_holds()),),
        policy=_policy(pooler),
        duration=measured.counted[-1].asked - first,
        warm_up=measured.begins - first,
        pooler=pooler,
    )
    return _figures(sim.simulate(scenario), measured, pooler)


def by_chance(measured: Measured, pooler: sim.Pooler | None) -> list[Figures]:
    """The simulation of as long a time, with arrivals and holds drawn anew: one for each seed."""
    scenario = sim.Scenario(
        arrivals=measured.workload.arrivals,
        endpoints=(sim.Endpoint(sim.Measured(measured.histogram())),),
        policy=_policy(pooler),
        duration=WARM_UP + SECONDS,
        warm_up=WARM_UP,
        pooler=pooler,
    )
    return [_figures(sim.simulate(scenario, seed), measured, pooler) for seed in range(SEEDS)]


def _policy(pooler: sim.Pooler | None) -> sim.KeeperPolicy:
    size, patience = (POOL, PATIENCE) if pooler is None else (APP_POOL, None)
    return sim.KeeperPolicy(limits=Limits(size, min_idle=size), timeout=POOL_TIMEOUT, client_timeout=patience)


def _figures(found: sim.Simulated, measured: Measured, pooler: sim.Pooler | None) -> Figures:
    wait = found.wait if pooler is None else found.pooler_wait
    # Behind a pooler a client's connection is in use while it waits for the server's.
    busy = found.wait.count * fmean(measured.holds) / measured.span / measured.places
    utilisation = found.utilisation if pooler is None else min(1.0, busy)
    lost = found.counts.refused + found.counts.timed_out
    return Figures(utilisation, wait.mean, wait.p99, lost / found.counts.attempts)


def pooler_by_formula(measured: Measured) -> Figures:
    found = losses(measured.rate, fmean(measured.holds), measured.places, timeout=POOL_TIMEOUT, hold_scv=measured.scv)
    return Figures(found.utilisation, found.mean_wait, found.quantile(0.99), found.refused + found.timed_out)


async def measure(report: Report, workloads: Sequence[Workload] = WORKLOADS, *, pooler: bool = True) -> None:
    compared = Compared(report)
    with EmbeddedPostgres(max_connections=100) as server:
        for seed, workload in enumerate(workloads, 1):
            progress(workload.name)
            measured = await direct(server.url("asyncpg"), workload, seed)
            compared.add(measured, by_formula(measured))
        if pooler:
            progress("two services behind PgBouncer")
            server.execute(f"CREATE ROLE {USERS['reports']} LOGIN")
            plan = pooler_plan()
            async with running_pgbouncer(server, plan) as port:
                both = await asyncio.gather(
                    *(behind_pgbouncer(port, plan, name, 10 * seed) for seed, name in enumerate(SERVICES, 1))
                )
            for measured in both:
                compared.add(measured, pooler_by_formula(measured), sim.Pooler(measured.places))
    compared.publish()


class Compared:
    """Predictions beside measurements."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._rows: list[tuple[Cell, ...]] = []
        self._conditions: list[tuple[Cell, ...]] = []
        self._off: list[tuple[str, str, float, str]] = []

    def add(self, measured: Measured, formula: Figures, pooler: sim.Pooler | None = None) -> None:
        real, simulated, chance = measured.figures(), replayed(measured, pooler), by_chance(measured, pooler)
        low, middle, high = (_of_share(chance, share) for share in (0.05, 0.5, 0.95))
        name = measured.workload.name
        self._rows += [
            (name, "measured", *real.cells(), None),
            ("", "formula", *formula.cells(), f"{formula.off(real):.0%}"),
            ("", "simulation", *simulated.cells(), f"{simulated.off(real):.0%}"),
            ("", "by chance: 5th percentile", *low.cells(), None),
            ("", "by chance: middle", *middle.cells(), None),
            ("", "by chance: 95th percentile", *high.cells(), None),
        ]
        late, hold = quantile(measured.late, 0.99), fmean(measured.holds) * 1000
        self._conditions.append(
            (name, measured.places, measured.rate, hold, measured.scv, len(measured.waits), late * 1000)
        )
        is_chance = low.p99 <= real.p99 <= high.p99 and low.mean <= real.mean <= high.mean
        by_luck = "what was measured is within what chance does in a run this long" if is_chance else ""
        by_load = f"the load generator was {late * 1000:.0f} ms late (p99)" if late > NO_WAIT else ""
        for kind, figures, reasons in (
            ("formula", formula, (measured.workload.reason, by_luck, by_load)),
            ("simulation", simulated, (by_load,)),
        ):
            self._off.append((name, kind, figures.off(real), "; ".join(part for part in reasons if part)))

    def publish(self) -> None:
        columns = ("workload", "", "in use", "mean wait, ms", "p99 wait, ms", "not served", "off by")
        self._report.tables.append(Table("Predicted and measured", columns, self._rows))
        columns = ("workload", "connections", "arrivals /s", "mean hold, ms", "scv of holds", "served", "late p99, ms")
        self._report.tables.append(Table("What was measured, and went into the predictions", columns, self._conditions))
        for name, kind, off, reason in self._off:
            told = f"{off:.0%}" + (f": {reason}" if off > WITHIN and reason else "")
            self._report.target(f"{name}, {kind}", f"off by {WITHIN:.0%} at most", told, off <= WITHIN)


def _of_share(found: Sequence[Figures], share: float) -> Figures:
    names = ("utilisation", "mean", "p99", "lost")
    return Figures(*(quantile([getattr(each, name) for each in found], share) for name in names))


def new_report() -> Report:
    return Report(
        "plan-accuracy",
        "Accuracy of plan",
        f"Open-loop callers of a Database with {POOL} connections, SELECT pg_sleep in each, {SECONDS:.0f} s after "
        f"{WARM_UP:.0f} s of warm-up;\ncallers wait {PATIENCE:g} s. The formula gets the measured rate, mean and "
        "variance of the holds. The simulation gets\nthe very requests: when each came, and how long it held. By "
        f"chance: {SEEDS} simulations of as long a time, everything drawn anew.\nDifferences below "
        f"{1000 * NO_WAIT:g} ms and {NO_SHARE:.0%} of the callers do not count.",
    )


if __name__ == "__main__":
    run(new_report(), measure)
