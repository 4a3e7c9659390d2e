"""The files that `poolkeeper plan` writes. None of them ever takes the place of another."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from sqlalchemy import make_url

from poolkeeper.cli.plan_file import FileUnusable
from poolkeeper.cli.server_sight import with_driver
from poolkeeper.planner.budget import available, budget_of
from poolkeeper.planner.output import environment_of
from poolkeeper.planner.pgbouncer import PoolerPlan, Tenant, share_out
from poolkeeper.planner.plan import Plan, ServicePlan
from poolkeeper.planner.sizing import pool_timeout
from poolkeeper.planner.spread import slow_hold
from poolkeeper.planner.workload import PoolerLimits, Service
from poolkeeper.report.pgbouncer import USERS, Site, files
from poolkeeper.report.plan import page_of, pictures_of

_UNKNOWN_HOST, _POSTGRES_PORT = "DATABASE_HOST", 5432


def write_page(plan: Plan, path: Path) -> list[Path]:
    """The plan as one HTML file. Raises `FileUnusable`, and ImportError without matplotlib."""
    refuse_existing([path])
    return _write([(path, page_of(plan).html().encode(), 0o644)])


def write_pictures(plan: Plan, folder: Path) -> list[Path]:
    """The pictures as PNG files. Raises `FileUnusable`, and ImportError without matplotlib."""
    pictures = pictures_of(plan)
    return _write([(folder / f"{picture.name}.png", picture.png(), 0o644) for picture in pictures])


def write_pgbouncer(plan: Plan, folder: Path, url: str | None) -> list[Path]:
    """A PgBouncer's files for the services that are to be behind one: those with a `pooler`, or else all of them.

    `url` tells where the server is. Raises `FileUnusable`, `PoolerCannotHelp` and `BadNumber`.
    """
    behind = [one for one in plan.services if one.service.pooler] or list(plan.services)
    site, user = _site(url, folder)
    shared = _shared(plan, behind, user)
    server = plan.workload.server
    settings = {one.service.name: environment_of(_behind(one), server) for one in behind}
    made = files(shared, site, settings)
    # Passwords will stand there: nobody else is to read it.
    return _write([(folder / name, text.encode(), 0o600 if name == USERS else 0o644) for name, text in made.items()])


def _shared(plan: Plan, behind: list[ServicePlan], user: str | None) -> PoolerPlan:
    """What the connections of the server that no other service takes are shared out to."""
    names = {one.service.name for one in behind}
    direct = max(
        (
            sum(row.counts[situation] for row in plan.budget.server.rows if row.service not in names)
            for situation in plan.budget.server.situations
        ),
        default=0,
    )
    server = plan.workload.server
    budget = available(plan.workload).value - direct
    instances = 1 if server.pooler is None else server.pooler.instances
    clients = _clients(plan, names)
    tenants = [_tenant(one.service, clients[one.service.name], user or one.service.name) for one in behind]
    return share_out(tenants, budget, instances)


def _clients(plan: Plan, names: set[str]) -> dict[str, int]:
    """The most connections that each service opens to a pooler in any situation."""
    services = tuple(replace(one, pooler=one.name in names) for one in plan.workload.services)
    server = replace(plan.workload.server, pooler=PoolerLimits())
    sizings = {one.service.name: one.sizing for one in plan.services}
    ledger = budget_of(replace(plan.workload, services=services, server=server), sizings).pooler
    return {} if ledger is None else {row.service: max(row.counts.values()) for row in ledger.rows}


def _tenant(service: Service, clients: int, user: str) -> Tenant:
    patience = service.client_timeout
    return Tenant(
        service=service.name,
        load=service.demand,
        burst_load=service.demand * service.burst,
        clients=clients,
        slow_hold=slow_hold(service),
        patience=pool_timeout(service).value if patience is None else patience,
        user=user,
    )


def _behind(one: ServicePlan) -> ServicePlan:
    return replace(one, service=replace(one.service, pooler=True))


def _site(url: str | None, folder: Path) -> tuple[Site, str | None]:
    """Where the server is, and the role that the URL names."""
    if url is None:
        return Site(_UNKNOWN_HOST, _POSTGRES_PORT, "postgres", folder.resolve()), None
    given = make_url(with_driver(url))
    if given.get_backend_name() != "postgresql":
        raise FileUnusable(f"--pgbouncer is for PostgreSQL, and --url leads to {given.get_backend_name()}")
    host, database = given.host or _UNKNOWN_HOST, given.database or given.username or "postgres"
    return Site(host, given.port or _POSTGRES_PORT, database, folder.resolve()), given.username


def refuse_existing(paths: Iterable[Path]) -> None:
    """Raise `FileUnusable` where one of them is there already."""
    for path in paths:
        if path.exists():
            raise FileUnusable(f"{path}: it exists already, and stays as it is; name another place")


def _write(made: list[tuple[Path, bytes, int]]) -> list[Path]:
    """All of them or, where one is there already, none."""
    refuse_existing(path for path, _, _ in made)
    try:
        for path, content, mode in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "xb", opener=_with_mode(mode)) as file:
                file.write(content)
    except OSError as error:
        raise FileUnusable(f"{error.filename}: {error.strerror or error}") from None
    return [path for path, _, _ in made]


def _with_mode(mode: int) -> Callable[[str, int], int]:
    return lambda path, flags: os.open(path, flags, mode)
