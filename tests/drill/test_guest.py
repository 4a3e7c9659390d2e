"""On a server of others only what is the drill's own is touched, and a server that does not allow it is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from tests.servers import FreshDatabase, PgBouncer

from poolkeeper.drill.guest import GuestServer, NotOurs, Refused, Sight, connections_of, guest_ground, look_at
from poolkeeper.drill.run import playable
from poolkeeper.drill.scenarios import scenarios
from poolkeeper.settings import DsnInvalid
from poolkeeper.testing import EmbeddedPostgres, fresh_database

NEEDED = connections_of([scenarios()["leak"]])
GOOD = Sight("18.4", "shop", standby=False, pooled=False, may_create=True, others=3, free=NEEDED)
TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"


@dataclass
class Staging:
    """Somebody else's database, as a role without privileges of its own sees it."""

    database: FreshDatabase
    role: str

    def connect(self, name: str) -> psycopg.Connection:
        url = self.url.replace("+asyncpg", "")
        return psycopg.connect(url, application_name=name, autocommit=True)

    @property
    def url(self) -> str:
        return self.database.url().replace("postgres@", f"{self.role}@")


@pytest.fixture
def staging(fresh_database: FreshDatabase) -> Iterator[Staging]:
    role = f"{fresh_database.name}_staging"
    fresh_database.execute(f"CREATE ROLE {role} LOGIN")
    fresh_database.execute(f"GRANT CREATE ON SCHEMA public TO {role}")
    yield Staging(fresh_database, role)
    fresh_database.execute(f"DROP OWNED BY {role}")
    fresh_database.execute(f"DROP ROLE {role}")


def test_only_connections_of_its_own_name_are_seen_and_ended(staging: Staging) -> None:
    ours = [staging.connect(name) for name in ("poolkeeper_demo_ab12cd", "poolkeeper_demo_ab12cd/host/7")]
    others = [staging.connect(name) for name in ("orders", "", "poolkeeper_demo_ab12ce", "poolkeeper_demo_ab12cdx")]
    server = GuestServer(staging.url, "poolkeeper_demo_ab12cd")
    assert len(server.activity()) == 2
    assert server.terminate_backends("true OR true") == 2
    for bystander in others:
        assert bystander.execute("SELECT 1").fetchone() == (1,)
        bystander.close()
    for each in ours:
        with pytest.raises(psycopg.OperationalError):
            each.execute("SELECT 1")


def test_a_corner_has_tables_of_its_own_and_leaves_none(staging: Staging) -> None:
    with guest_ground(staging.url, NEEDED) as ground, ground.spot() as spot:
        assert staging.database.query(TABLES) == [(f"{ground.prefix}drill_ledger",)]
        assert spot.environment["ORDERS_TABLE_PREFIX"] == spot.prefix == ground.prefix
        assert spot.database == staging.database.name
        left = staging.connect(ground.prefix.rstrip("_"))
        left.autocommit = False
        left.execute(f"SELECT * FROM {ground.prefix}drill_ledger")
    assert staging.database.query(TABLES) == []
    left.close()


@pytest.mark.parametrize("wanted", ["stop", "start", "restart", "kill", "add_replica"])
def test_a_server_of_others_is_neither_stopped_nor_changed(wanted: str) -> None:
    with pytest.raises(NotOurs, match=wanted):
        getattr(GuestServer("postgresql+asyncpg://me@shop/orders", "poolkeeper_demo_ab12cd"), wanted)()


def test_what_breaks_a_server_is_left_out_and_the_reason_is_named() -> None:
    played, left_out = playable(scenarios().values(), guest=True)
    names = {scenario.name for scenario in played}
    wanted = {"stale-after-idle", "kill-in-transaction", "silent-drop", "overload-x3", "leak", "nested-checkout"}
    assert wanted <= names
    assert left_out["restart-fast"] == "it restarts the server"
    assert {"restart-immediate", "commit-fails"} <= left_out.keys()
    assert names.isdisjoint(left_out)
    assert names | left_out.keys() == scenarios().keys()


def test_each_worker_needs_the_connections_of_the_largest_pool() -> None:
    assert NEEDED == 25
    two_workers = replace(scenarios()["leak"], workers=2)
    assert connections_of([scenarios()["leak"], two_workers]) == 45


@pytest.mark.parametrize(
    ("sight", "why"),
    [
        ({"standby": True}, "a standby"),
        ({"pooled": True}, "a pooler stands before it"),
        ({"may_create": False}, "may not create tables"),
        ({"free": NEEDED - 1}, f"takes up to {NEEDED}"),
    ],
)
def test_a_server_on_which_a_drill_could_not_put_everything_back_is_refused(sight: dict[str, int], why: str) -> None:
    GOOD.refuse(NEEDED)
    with pytest.raises(Refused, match=why):
        Sight(**{**{name: getattr(GOOD, name) for name in GOOD.__slots__}, **sight}).refuse(NEEDED)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql+aiomysql://me@shop/orders", "needs PostgreSQL"),
        ("postgresql:///orders", "one host over TCP"),
        ("postgresql://me@/orders?host=/var/run/postgresql", "one host over TCP"),
        ("postgresql://me@shop/orders?sslmode=verify-full", "use require"),
        ("postgresql://me@shop/orders?sslmode=require&channel_binding=require", "leave out channel_binding"),
    ],
)
def test_a_url_before_which_no_proxy_can_stand_is_refused(url: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        look_at(url, NEEDED)


def test_a_text_that_is_no_url_is_refused() -> None:
    with pytest.raises(DsnInvalid):
        look_at("shop", NEEDED)


def test_a_role_that_may_not_create_tables_is_refused(staging: Staging) -> None:
    staging.database.execute(f"REVOKE CREATE ON SCHEMA public FROM {staging.role}")
    with pytest.raises(Refused, match="may not create tables"):
        look_at(staging.url, NEEDED)


def test_a_role_with_few_connections_is_refused(staging: Staging) -> None:
    staging.database.execute(f"ALTER ROLE {staging.role} CONNECTION LIMIT 10")
    with pytest.raises(Refused, match=r"it has 9 connections free"):
        look_at(staging.url, NEEDED)


@pytest.mark.slow
def test_a_pooler_before_the_server_is_noticed(
    pgbouncer: Callable[..., PgBouncer], fresh_database: FreshDatabase
) -> None:
    fresh_database.may_leave_backends = True
    with pytest.raises(Refused, match="a pooler stands before it"):
        look_at(pgbouncer("transaction").url(database=fresh_database.name), NEEDED)


@pytest.mark.slow
def test_a_drill_on_staging_leaves_bystanders_alone_and_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "poolkeeper", "drill", "stale-after-idle", "restart-fast"]
    options = ["--stack", "naive", "--stack", "poolkeeper", "--json", str(tmp_path / "out.json")]
    with EmbeddedPostgres() as server, fresh_database(server) as shop:
        before = server.query("SELECT pg_postmaster_start_time()")
        with psycopg.connect(server.dsn.rpartition("/")[0] + f"/{shop.name}", autocommit=True) as bystander:
            done = subprocess.run(
                [*command, *options, "--yes", "--url", shop.url()],
                capture_output=True,
                text=True,
                timeout=200,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "TMPDIR": str(tmp_path)},
                check=False,
            )
            assert bystander.execute("SELECT 1").fetchone() == (1,)
        assert shop.query(TABLES) == []
        assert server.query("SELECT pg_postmaster_start_time()") == before
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads((tmp_path / "out.json").read_text())
    (scenario,) = said["scenarios"]
    naive, ours = scenario["runs"]
    # Its connections were ended: without that the naive pool would not fail.
    assert naive["figures"]["failed"] >= 1
    assert (ours["figures"]["failed"], ours["figures"]["wrong"], ours["figures"]["backends_left"]) == (0, 0, 0)
    assert said["left_out"] == {"restart-fast": "it restarts the server"}
    assert "left out: restart-fast: it restarts the server" in done.stdout
