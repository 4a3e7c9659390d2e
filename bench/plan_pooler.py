"""Two services behind one PgBouncer, with the files that `poolkeeper plan --pgbouncer` writes for them."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from statistics import fmean
from typing import Any

from bench.plan_measured import HOLD, PATIENCE, POOL_TIMEOUT, Figures, Measured, Request, Workload
from bench.plan_service import Seen, Span, calls_of, offer, reference
from bench.report import quantile
from tests.servers import PgBouncer, end, find_program, server_folder, start_program, wait_until

from poolkeeper.planner import simulate as sim
from poolkeeper.planner.pgbouncer import PoolerPlan, Tenant, share_out
from poolkeeper.report.pgbouncer import INI, PASSWORD, Site, files
from poolkeeper.testing import EmbeddedPostgres
from poolkeeper.testing.ports import ReservedPort

APP_POOL = 20
BUDGET = 7
USERS = {"orders": "postgres", "reports": "reports"}
SERVICES = {
    "orders": Workload("orders, behind PgBouncer", sim.Poisson(60.0), sim.Exponential(HOLD)),
    "reports": Workload("reports, behind PgBouncer", sim.Poisson(15.0), sim.Exponential(2 * HOLD)),
}
# Whoever waits for PgBouncer waits longer than for a pool: nothing foretells how long, so nobody is refused.
CLIENT_PATIENCE = PATIENCE + 4


def pooler_plan() -> PoolerPlan:
    tenants = [
        Tenant(
            name,
            load=each.arrivals.rate * each.holds.mean,
            burst_load=each.arrivals.rate * each.holds.mean,
            clients=APP_POOL,
            slow_hold=0.1,
            patience=CLIENT_PATIENCE,
            user=USERS[name],
        )
        for name, each in SERVICES.items()
    ]
    return share_out(tenants, BUDGET)


@contextmanager
def running_pgbouncer(server: EmbeddedPostgres, plan: PoolerPlan) -> Generator[int]:
    """PgBouncer with the files of the plan; its port."""
    program = find_program("pgbouncer", "pgbouncer")
    with server_folder(PgBouncer.RUN_AS) as folder, closing(ReservedPort()) as reserved:
        site = Site(server.host, server.port, "postgres", folder, reserved.number)
        for name, content in files(plan, site, {}).items():
            (folder / name).write_text(content if name == INI else content.replace(PASSWORD, "bench"))
            shutil.chown(folder / name, PgBouncer.RUN_AS)
        process = start_program([program, f"{folder}/{INI}"], folder, PgBouncer.RUN_AS)
        try:
            wait_until(lambda: "process up" in (folder / "log").read_text(), process, folder)
            yield reserved.number
        finally:
            end(process)


def behind_pgbouncer(server: EmbeddedPostgres, load: ProcessPoolExecutor, span: Span) -> list[Measured]:
    """Both services at once, each with its own clients."""
    server.execute(f"CREATE ROLE {USERS['reports']} LOGIN")
    plan = pooler_plan()
    settings = {"provider": "pgbouncer-transaction", "pool_size": APP_POOL, "max_overflow": 0}
    with ExitStack() as stack:
        port = stack.enter_context(running_pgbouncer(server, plan))
        running, work = {}, {}
        for name in SERVICES:
            url = f"postgresql+asyncpg://{USERS[name]}:bench@127.0.0.1:{port}/{name}"
            running[name] = stack.enter_context(reference(url, {**settings, "pool_timeout": POOL_TIMEOUT}))
        for seed, (name, service) in enumerate(running.items(), 1):
            requests = SERVICES[name].schedule(span, 10 * seed)
            work[name] = load.submit(offer, service.address, requests, span, CLIENT_PATIENCE)
        seen = {name: each.result() for name, each in work.items()}
        return [
            _measured(SERVICES[name], plan.shares[name].pool_size, seen[name], calls_of(service))
            for name, service in running.items()
        ]


def _measured(workload: Workload, places: int, seen: Seen, calls: list[dict[str, Any]]) -> Measured:
    """Between the call and the begin of its transaction is the wait for one of the server's connections."""
    # What the way there takes where nobody is before it is part of the hold.
    alone = quantile([call["reached"] - call["asked"] - call["wait"] for call in calls], 0.05)
    requests = sorted((_at_the_pooler(call, alone) for call in calls), key=lambda request: request.asked)
    counted = [request for request in requests if seen.counts(request.asked)]
    waits = [request.wait or 0.0 for request in counted]
    busy = sum(request.hold or 0.0 for request in counted) / seen.seconds / places
    return Measured(workload, places, seen, requests, Figures(busy, fmean(waits), quantile(waits, 0.99), seen.lost))


def _at_the_pooler(call: dict[str, Any], alone: float) -> Request:
    asked = call["asked"] + call["wait"]
    wait = max(0.0, call["reached"] - alone - asked)
    return Request(asked, call["planned"], wait, call["returned"] - asked - wait)
