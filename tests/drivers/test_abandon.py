"""Connections whose event loop is gone, and those of a parent process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from tests.servers import FreshDatabase, PgBouncer, server_folder
from tests.service.served import wait_until

from poolkeeper.drivers import driver_of
from poolkeeper.testing import EmbeddedPostgres
from poolkeeper.testing.postgres.replica import Replica

_PRELUDE = """
import asyncio, gc, os, ssl, sys, warnings
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from poolkeeper.drivers import driver_of

warnings.simplefilter("always")
# A child cannot close its copy of the parent's loop: the two share the selector.
warnings.filterwarnings("ignore", "unclosed event loop")
new_loop = asyncio.new_event_loop
if sys.argv[2] == "uvloop":
    import uvloop
    new_loop = uvloop.new_event_loop
    # Its transports complain, as a ResourceWarning, whatever is done once their loop is closed.
    warnings.filterwarnings("ignore", "unclosed resource|loop is closed")

arguments = {}
if "tls" in sys.argv:
    any_certificate = ssl.create_default_context()
    any_certificate.check_hostname, any_certificate.verify_mode = False, ssl.CERT_NONE
    arguments = {"sslmode": "require"} if "psycopg" in sys.argv[1] else {"ssl": any_certificate}

engine = create_async_engine(sys.argv[1], connect_args=arguments)
driver = driver_of(engine.dialect)

async def connected():
    connection = await engine.raw_connection()
    raw = connection.driver_connection
    connection.detach()
    return connection.dbapi_connection, raw

loop = new_loop()
adapted, raw = loop.run_until_complete(connected())
"""

_LOOP_GONE = (
    _PRELUDE
    + """
loop.close()
driver.abandon(raw, keep_session=False)
driver.abandon(raw, keep_session=False)
del adapted, raw
gc.collect()
print("abandoned", flush=True)
sys.stdin.readline()
"""
)

_FORKED = (
    _PRELUDE
    + """
from sqlalchemy.util import greenlet_spawn

if (child := os.fork()) == 0:
    driver.abandon(raw, keep_session=True)
    del adapted, raw, loop
    gc.collect()
    print("abandoned", flush=True)
    sys.exit(0)

assert os.waitpid(child, 0)[1] == 0

def ask():
    cursor = adapted.cursor()
    cursor.execute("SELECT 7")
    return tuple(cursor.fetchone())

print("parent", loop.run_until_complete(greenlet_spawn(ask)), flush=True)
loop.run_until_complete(greenlet_spawn(adapted.close))
del adapted, raw
loop.close()
"""
)

_BLOCKING = """
import gc, os, sys, warnings
from sqlalchemy import create_engine
from poolkeeper.drivers import driver_of

warnings.simplefilter("always")
engine = create_engine(sys.argv[1])
driver = driver_of(engine.dialect)
connection = engine.raw_connection()
raw, adapted = connection.driver_connection, connection.dbapi_connection
connection.detach()

def ask():
    cursor = raw.cursor()
    cursor.execute("SELECT 7")
    return tuple(cursor.fetchone())

if (child := os.fork()) == 0:
    driver.abandon(raw, keep_session=True)
    driver.abandon(raw, keep_session=True)
    assert driver.is_closed(raw) and driver.socket_of(raw) is None
    sys.exit(0)

assert os.waitpid(child, 0)[1] == 0
print("parent", ask(), flush=True)
driver.abandon(raw, keep_session=False)
assert driver.is_closed(raw) and driver.socket_of(raw) is None
print("abandoned", flush=True)
sys.stdin.readline()
"""

each_loop = pytest.mark.parametrize("loop", ["asyncio", pytest.param("uvloop", marks=pytest.mark.slow)])
first_by_default = pytest.mark.parametrize("driver", ["asyncpg", pytest.param("psycopg", marks=pytest.mark.slow)])
mysql_drivers = pytest.mark.parametrize("driver", ["aiomysql", pytest.param("asyncmy", marks=pytest.mark.slow)])


def start(script: str, url: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, url, *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def abandons_and_the_server_forgets(database: FreshDatabase, url: str, sessions: str, *more: str) -> None:
    abandons_and_is_forgotten(url, lambda: database.query(sessions) == [("0",)], *more)


def abandons_and_is_forgotten(url: str, is_forgotten: Callable[[], bool], *more: str) -> None:
    process = start(_LOOP_GONE, url, *more)
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        wait_until(is_forgotten)
    finally:
        _, noise = process.communicate("\n", timeout=20)
    assert (line, noise) == ("abandoned\n", "")


def leaves_the_session_to_the_parent(url: str, *more: str) -> None:
    process = start(_FORKED, url, *more)
    said, noise = process.communicate(timeout=20)
    assert (said, noise) == ("abandoned\nparent (7,)\n", "")


_PG_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_MYSQL_SESSIONS = "SELECT count(*) FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"


@each_loop
@first_by_default
def test_a_session_ends_without_its_loop(fresh_database: FreshDatabase, driver: str, loop: str) -> None:
    abandons_and_the_server_forgets(fresh_database, fresh_database.url(driver), _PG_SESSIONS, loop)


@each_loop
@first_by_default
def test_a_child_leaves_its_parents_session_alone(fresh_database: FreshDatabase, driver: str, loop: str) -> None:
    leaves_the_session_to_the_parent(fresh_database.url(driver), loop)


@pytest.fixture
def tls_pooler(pgbouncer: Callable[..., PgBouncer], own_certificate: tuple[Path, Path]) -> PgBouncer:
    key, certificate = own_certificate
    files = {"client_tls_key_file": key, "client_tls_cert_file": certificate}
    return pgbouncer("session", client_tls_sslmode="allow", **files)


@pytest.fixture
def own_certificate() -> Iterator[tuple[Path, Path]]:
    """A key and its self-signed certificate, in files that PgBouncer may read."""
    secret, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    signed = (
        x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(secret, hashes.SHA256())
    )
    unencrypted = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    with server_folder(PgBouncer.RUN_AS) as folder:
        key, certificate = folder / "key", folder / "certificate"
        key.write_bytes(secret.private_bytes(serialization.Encoding.PEM, *unencrypted))
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        yield key, certificate


@each_loop
@first_by_default
def test_below_tls_too(tls_pooler: PgBouncer, driver: str, loop: str) -> None:
    leaves_the_session_to_the_parent(tls_pooler.url(driver), loop, "tls")
    abandons_and_is_forgotten(tls_pooler.url(driver), lambda: tls_clients(tls_pooler) == 0, loop, "tls")


def tls_clients(pooler: PgBouncer) -> int:
    return pooler.admin("SHOW CLIENTS").count("TLSv")


@each_loop
@mysql_drivers
def test_a_mysql_session_ends_without_its_loop(fresh_mariadb: FreshDatabase, driver: str, loop: str) -> None:
    abandons_and_the_server_forgets(fresh_mariadb, fresh_mariadb.url(driver), _MYSQL_SESSIONS, loop)


@each_loop
@mysql_drivers
def test_a_child_leaves_its_parents_mysql_session_alone(fresh_mariadb: FreshDatabase, driver: str, loop: str) -> None:
    leaves_the_session_to_the_parent(fresh_mariadb.url(driver), loop)


@pytest.mark.parametrize(
    ("driver", "place", "sessions"),
    [("psycopg", "fresh_database", _PG_SESSIONS), ("pymysql", "fresh_mariadb", _MYSQL_SESSIONS)],
)
def test_a_blocking_connection_is_let_go_of(
    driver: str, place: str, sessions: str, request: pytest.FixtureRequest
) -> None:
    database: FreshDatabase = request.getfixturevalue(place)
    process = start(_BLOCKING, database.url(driver))
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(2)]
    try:
        wait_until(lambda: database.query(sessions) == [("0",)])
    finally:
        _, noise = process.communicate("\n", timeout=20)
    assert (lines, noise) == (["parent (7,)\n", "abandoned\n"], "")


@each_loop
def test_a_child_leaves_its_parents_file_alone(tmp_path: Path, loop: str) -> None:
    leaves_the_session_to_the_parent(f"sqlite+aiosqlite:///{tmp_path}/notes.db", loop)


def test_a_sqlite_connection_closes_in_its_own_thread(tmp_path: Path) -> None:
    process = start(_LOOP_GONE, f"sqlite+aiosqlite:///{tmp_path}/notes.db", "asyncio")
    said, noise = process.communicate("\n", timeout=20)
    assert (said, noise) == ("abandoned\n", "")


@pytest.mark.anyio
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_standby_says_that_it_takes_no_writes(
    postgres: EmbeddedPostgres, standby: Replica, driver: str
) -> None:
    assert [await refuses_writes(server.url(driver)) for server in (postgres, standby)] == [False, True]


@pytest.mark.anyio
async def test_mariadb_says_nothing_about_it(fresh_mariadb: FreshDatabase) -> None:
    assert await refuses_writes(fresh_mariadb.url("aiomysql")) is None


async def refuses_writes(url: str) -> bool | None:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        return driver_of(engine.dialect).refuses_writes(raw)
