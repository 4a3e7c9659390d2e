"""The files of a PgBouncer: a real one starts with them, and services work through it."""

from __future__ import annotations

import asyncio
import shutil
import socket
from contextlib import closing
from pathlib import Path, PurePosixPath

import pytest
from sqlalchemy import text
from tests.servers import (
    FreshDatabase,
    PgBouncer,
    end,
    find_program,
    server_folder,
    start_program,
    wait_until,
)

from poolkeeper import Database
from poolkeeper.planner.output import environment_of
from poolkeeper.planner.pgbouncer import PoolerPlan, Tenant, share_out
from poolkeeper.planner.plan import plan as planned
from poolkeeper.planner.workload import DatabaseServer, PoolerLimits, Service, Workload
from poolkeeper.report.pgbouncer import INI, PASSWORD, USERS, Site, files
from poolkeeper.testing import EmbeddedPostgres
from poolkeeper.testing.ports import ReservedPort

PLANNED = planned(
    Workload(
        services=(Service(name="orders", rps=40, hold=0.05, client_timeout=5, pooler=True, pool_size=6),),
        server=DatabaseServer(pooler=PoolerLimits()),
    )
)
SETTINGS = {"orders": environment_of(PLANNED.of("orders"), PLANNED.workload.server)}
SITE = Site("db.internal", 5432, "shop", PurePosixPath("/etc/pgbouncer"))


def tenant(service: str = "orders", **values: object) -> Tenant:
    given = {"load": 2, "burst_load": 4, "clients": 12, "slow_hold": 0.2, "patience": 5, "user": "postgres"}
    return Tenant(service, **{**given, **values})  # type: ignore[arg-type]


def plan(*tenants: Tenant, budget: int = 40, processes: int = 1) -> PoolerPlan:
    return share_out(tenants or (tenant(), tenant("reports", load=1, burst_load=1)), budget, processes)


def value(ini: str, name: str) -> str:
    return next(line.partition("=")[2].strip() for line in ini.splitlines() if line.startswith(f"{name} ="))


def environment(text_of_file: str) -> dict[str, str]:
    lines = [line for line in text_of_file.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


class Started:
    """A PgBouncer with files as they are, but for the password that its operator fills in."""

    PASSWORD = "filled-in"

    def __init__(self, folder: Path, plan: PoolerPlan, server: EmbeddedPostgres, database: str, port: int) -> None:
        program = find_program("pgbouncer", "pgbouncer")
        self.files = files(plan, Site(server.host, server.port, database, folder, port), SETTINGS)
        for name, content in self.files.items():
            filled = content if name == INI else content.replace(PASSWORD, self.PASSWORD)
            (folder / name).write_text(filled)
            shutil.chown(folder / name, PgBouncer.RUN_AS)
        self.process = start_program([program, f"{folder}/{INI}"], folder, PgBouncer.RUN_AS)
        wait_until(lambda: listens(port), self.process, folder)
        self.log = folder / "log"


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def busy(database: Database, seconds: float) -> int:
    """How many sessions of the service the server sees while twice as many transactions are under way."""

    async def work() -> None:
        async with database.session() as session:
            await session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})

    async with database:
        await asyncio.gather(*(work() for _ in range(12)))
        async with database.read_session() as session:
            sessions = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            return int(await session.scalar(sessions) or 0)


def test_a_real_pgbouncer_serves_transactions_from_a_database_with_the_settings_named(
    postgres: EmbeddedPostgres, fresh_database: FreshDatabase
) -> None:
    find_program("pgbouncer", "pgbouncer")
    fresh_database.may_leave_backends = True
    made = plan(tenant(load=1, burst_load=1), tenant("reports"))
    with server_folder(PgBouncer.RUN_AS) as folder, closing(ReservedPort()) as reserved:
        started = Started(folder, made, postgres, fresh_database.name, reserved.number)
        try:
            told = environment(started.files["orders.env"])
            url = told.pop("DATABASE_URL").replace(PASSWORD, started.PASSWORD).replace("PGBOUNCER", "127.0.0.1")
            given = {name.removeprefix("DATABASE_").lower(): value for name, value in told.items()}
            database = Database(url, **given)
            assert (database.settings.pooler, database.settings.pool_size) == ("transaction", 6)
            assert database.settings.client_timeout == 5
            sessions = asyncio.run(busy(database, 0.05))
        finally:
            end(started.process)
        log = started.log.read_text()
    assert 1 <= sessions <= made.shares["orders"].most == 3
    assert "WARNING" not in log
    assert "ERROR" not in log


def test_the_limits_in_the_file_add_up_to_what_the_server_has() -> None:
    made = plan(tenant(load=9, burst_load=30), tenant("reports", load=3, burst_load=9), budget=31)
    ini = files(made, SITE, {})[INI]
    most = [
        int(part.partition("=")[2])
        for line in ini.splitlines()
        for part in line.split()
        if part.startswith("max_db_connections=")
    ]
    assert sum(most) == made.connections <= 31
    assert "add up to" in ini
    assert value(ini, "pool_mode") == "transaction"


def test_a_caller_is_let_go_before_it_gives_up() -> None:
    made = plan(tenant(patience=5, slow_hold=1.4), tenant("reports", patience=30))
    ini = files(made, SITE, {})[INI]
    assert value(ini, "query_wait_timeout") == "3"


def test_every_line_has_its_reason_above_it() -> None:
    lines = files(plan(), SITE, SETTINGS)[INI].splitlines()
    settings = [number for number, line in enumerate(lines) if " = " in line and not line.startswith(";")]
    assert len(settings) > 15
    assert [lines[number] for number in settings if not lines[number - 1].startswith("; ")] == []
    assert max(map(len, lines)) <= 120


def test_no_file_holds_a_secret_and_names_are_quoted() -> None:
    made = plan(tenant(user='o"dd'))
    site = Site("db.internal", 5432, "it's here", PurePosixPath("/etc/pgbouncer"))
    written = files(made, site, SETTINGS)
    assert "dbname='it''s here'" in written[INI]
    assert f'"o""dd" "{PASSWORD}"' in written[USERS]
    assert 'ALTER ROLE "o""dd"' in written["orders.env"]
    assert value(written[INI], "auth_file") == "/etc/pgbouncer/userlist.txt"


@pytest.mark.parametrize("name", ["orders db", "a=b", "", "orders]"])
def test_a_service_whose_name_cannot_stand_in_the_file_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name of a database"):
        tenant(name)
