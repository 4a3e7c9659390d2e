"""What `poolkeeper plan` foretells beside what is measured: six workloads on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from bench.plan_measured import (
    NO_SHARE,
    NO_WAIT,
    PATIENCE,
    POOL,
    POOL_TIMEOUT,
    WORKLOADS,
    Figures,
    Measured,
    Workload,
    direct,
)
from bench.plan_pooler import APP_POOL, behind_pgbouncer
from bench.plan_service import Span, load_processes
from bench.report import Cell, Report, Table, progress, quantile, run

from poolkeeper.planner import simulate as sim
from poolkeeper.planner.losses import losses, standing_queue
from poolkeeper.policy import Limits
from poolkeeper.testing import EmbeddedPostgres

SPAN = Span(warm_up=2.0, counted=30.0)
# As far as a prediction may be off.
WITHIN = 0.15
SEEDS = 20


def by_formula(measured: Measured) -> Figures:
    hold = measured.mean_hold
    places = standing_queue(hold, measured.places, timeout=POOL_TIMEOUT, client_timeout=PATIENCE)
    found = losses(
        measured.rate, hold, measured.places, timeout=POOL_TIMEOUT, max_waiting=places, hold_scv=measured.scv
    )
    return Figures(found.utilisation, found.mean_wait, found.quantile(0.99), found.refused + found.timed_out)


def pooler_by_formula(measured: Measured) -> Figures:
    found = losses(measured.rate, measured.mean_hold, measured.places, timeout=POOL_TIMEOUT, hold_scv=measured.scv)
    return Figures(found.utilisation, found.mean_wait, found.quantile(0.99), found.refused + found.timed_out)


def replayed(measured: Measured, pooler: sim.Pooler | None) -> Figures:
    """The simulation with the very requests that were measured: when they came, and how long they held."""
    first, seen = measured.requests[0].asked, measured.seen
    scenario = sim.Scenario(
        arrivals=sim.Trace(tuple(request.asked - first for request in measured.requests)),
        endpoints=(sim.Endpoint(measured.same_holds()),),
        policy=_policy(pooler),
        duration=seen.after.at - first,
        warm_up=seen.before.at - first,
        pooler=pooler,
    )
    return _figures(sim.simulate(scenario), measured, pooler)


def by_chance(measured: Measured, span: Span, pooler: sim.Pooler | None) -> list[Figures]:
    """The simulation of as long a time, with arrivals and holds drawn anew: one for each seed."""
    scenario = sim.Scenario(
        arrivals=measured.workload.arrivals,
        endpoints=(sim.Endpoint(sim.Measured(measured.histogram())),),
        policy=_policy(pooler),
        duration=span.whole,
        warm_up=span.warm_up,
        pooler=pooler,
    )
    return [_figures(sim.simulate(scenario, seed), measured, pooler) for seed in range(SEEDS)]


def _policy(pooler: sim.Pooler | None) -> sim.KeeperPolicy:
    size, patience = (POOL, PATIENCE) if pooler is None else (APP_POOL, None)
    return sim.KeeperPolicy(limits=Limits(size, min_idle=size), timeout=POOL_TIMEOUT, client_timeout=patience)


def _figures(found: sim.Simulated, measured: Measured, pooler: sim.Pooler | None) -> Figures:
    wait = found.wait if pooler is None else found.pooler_wait
    # Behind a pooler a client's connection is in use while it waits for the server's.
    busy = found.wait.count * measured.mean_hold / measured.seen.seconds / measured.places
    utilisation = found.utilisation if pooler is None else min(1.0, busy)
    lost = found.counts.refused + found.counts.timed_out
    return Figures(utilisation, wait.mean, wait.p99, lost / found.counts.attempts)


def measure(report: Report, workloads: Sequence[Workload] = WORKLOADS, span: Span = SPAN) -> None:
    compared = Compared(report, span)
    with EmbeddedPostgres(max_connections=100) as server, load_processes(2) as load:
        for seed, workload in enumerate(workloads, 1):
            progress(workload.name)
            measured = direct(server.url("asyncpg"), load, workload, span, seed)
            compared.add(measured, by_formula(measured))
        progress("two services behind PgBouncer")
        for measured in behind_pgbouncer(server, load, span):
            compared.add(measured, pooler_by_formula(measured), sim.Pooler(measured.places))
    compared.publish()


class Compared:
    """Predictions beside measurements."""

    def __init__(self, report: Report, span: Span) -> None:
        self._report, self._span = report, span
        self._rows: list[tuple[Cell, ...]] = []
        self._measured: list[Measured] = []
        self._off: list[tuple[str, str, float, str]] = []

    def add(self, measured: Measured, formula: Figures, pooler: sim.Pooler | None = None) -> None:
        simulated, chance = replayed(measured, pooler), by_chance(measured, self._span, pooler)
        low, middle, high = (_of_share(chance, share) for share in (0.05, 0.5, 0.95))
        name, real, seen = measured.workload.name, measured.real, measured.seen
        self._measured.append(measured)
        self._rows += [
            (name, "measured", *real.cells(), None),
            ("", "formula", *formula.cells(), f"{formula.off(real):.0%}"),
            ("", "simulation", *simulated.cells(), f"{simulated.off(real):.0%}"),
            ("", "by chance: 5th percentile", *low.cells(), None),
            ("", "by chance: middle", *middle.cells(), None),
            ("", "by chance: 95th percentile", *high.cells(), None),
        ]
        is_chance = low.p99 <= real.p99 <= high.p99 and low.mean <= real.mean <= high.mean
        by_luck = "what was measured is within what chance does in a run this long" if is_chance else ""
        machine = f"{seen.busy:.0%} of the cores were busy, the service's loop {1000 * seen.lag:.1f} ms late"
        for kind, figures, reasons in (
            ("formula", formula, (measured.workload.reason, by_luck, machine)),
            ("simulation", simulated, (machine,)),
        ):
            self._off.append((name, kind, figures.off(real), "; ".join(part for part in reasons if part)))

    def publish(self) -> None:
        columns = ("workload", "", "in use", "mean wait, ms", "p99 wait, ms", "not served", "off by")
        self._report.tables.append(Table("Predicted and measured", columns, self._rows))
        self._add_loads()
        self._add_clients()
        for name, kind, off, reason in self._off:
            told = f"{off:.0%}" + (f": {reason}" if off > WITHIN else "")
            self._report.target(f"{name}, {kind}", f"off by {WITHIN:.0%} at most", told, off <= WITHIN)

    def _add_loads(self) -> None:
        columns = (
            *("workload", "connections", "arrivals /s", "mean hold, ms", "scv of holds", "beyond pg_sleep, ms"),
            *("cores busy", "loop late, ms", "load late at most, ms"),
        )
        rows = [
            (
                each.workload.name,
                each.places,
                each.rate,
                each.mean_hold * 1000,
                each.scv,
                each.beyond * 1000,
                f"{each.seen.busy:.0%}",
                each.seen.lag * 1000,
                each.seen.behind * 1000,
            )
            for each in self._measured
        ]
        self._report.tables.append(Table("What was measured, and went into the predictions", columns, rows))

    def _add_clients(self) -> None:
        """The clients have to have met what the pool counts, and nothing else."""
        columns = ("workload", "requests", "told 503", "turned away by the pool", "gave up", "failed otherwise")
        rows = [
            (one.workload.name, len(seen.outcomes), seen.refused, seen.end.refused, seen.gave_up, seen.failed)
            for one in self._measured
            for seen in (one.seen,)
        ]
        self._report.tables.append(Table("What clients met, from the first request to the last", columns, rows))
        told, turned_away, failed = (sum(row[column] for row in rows) for column in (2, 3, 5))
        self._report.target(
            "told 503", "as many as the pools turned away", f"{told} and {turned_away}", told == turned_away
        )
        self._report.target("failed otherwise", "none", str(failed), not failed)


def _of_share(found: Sequence[Figures], share: float) -> Figures:
    names = ("utilisation", "mean", "p99", "lost")
    return Figures(*(quantile([getattr(each, name) for each in found], share) for name in names))


def new_report() -> Report:
    return Report(
        "plan-accuracy",
        "Accuracy of plan",
        f"The reference service under uvicorn, one process with {POOL} connections; a transaction with SELECT pg_sleep "
        "per\nrequest. The load comes from its own process, open-loop, "
        f"{SPAN.counted:.0f} s after {SPAN.warm_up:.0f} s of warm-up; clients wait {PATIENCE:g} s.\n"
        "Measured is what the service tells: its metrics, and for p99 and the waits for PgBouncer its trace of each\n"
        "request. The formula gets rate, mean and variance of the holds. The simulation gets the very requests: when\n"
        f"each came, and how long it held. By chance: {SEEDS} simulations of as long a time, everything drawn anew.\n"
        f"Differences below {1000 * NO_WAIT:g} ms and {NO_SHARE:.0%} of the callers do not count.",
    )


if __name__ == "__main__":
    run(new_report(), measure)
