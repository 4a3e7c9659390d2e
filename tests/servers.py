"""Real servers for the suite. `tests/conftest.py` loads this file as a plugin, so every test may use its fixtures."""

from __future__ import annotations

import atexit
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NoReturn

import pytest
from sqlalchemy import make_url
from tests.empty_databases import EmptyDatabases

from poolkeeper.testing import EmbeddedPostgres
from poolkeeper.testing import FreshDatabase as FreshDatabase
from poolkeeper.testing.fresh import left_after_a_moment as left_after_a_moment
from poolkeeper.testing.ports import ReservedPort
from poolkeeper.testing.postgres.folder import OwnedFolder
from poolkeeper.testing.postgres.programs import find_programs

_numbers = itertools.count(1)


def missing(program: str, package: str) -> NoReturn:
    """Skip the test because a program is not installed; where nothing may be missing, fail."""
    reason = f"{program} is not installed (Debian package {package})"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def closed_port() -> Iterator[int]:
    """A port on loopback that refuses connections, and that nobody is given meanwhile."""
    with closing(ReservedPort()) as reserved:
        yield reserved.number


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """One PostgreSQL 18 for the whole run. Do not stop, kill or reconfigure it: start an EmbeddedPostgres for that."""
    with EmbeddedPostgres(max_connections=100) as server:
        yield server


@pytest.fixture(scope="session")
def _empty_databases(postgres: EmbeddedPostgres) -> EmptyDatabases:
    return EmptyDatabases(postgres)


@pytest.fixture
def fresh_database(_empty_databases: EmptyDatabases) -> Iterator[FreshDatabase]:
    """An empty database. Connections that the test leaves open fail it, unless it sets `may_leave_backends`."""
    with _empty_databases.one() as database:
        yield database


def find_program(program: str, package: str) -> str:
    """Where a server's program is; Debian keeps them off the PATH of ordinary users."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return found or missing(program, package)


def start_program(arguments: list[str], folder: Path, user: str) -> subprocess.Popen[bytes]:
    """Start a server as `user` when we are root. It dies with this process: the fixtures run in its main thread."""
    become = [f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"] if os.geteuid() == 0 else []
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", *become, *arguments],
            cwd=folder,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )


def wait_until(
    is_ready: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path, seconds: float = 30
) -> None:
    deadline = time.monotonic() + seconds
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise RuntimeError(f"{process.args} did not start:\n{(folder / 'log').read_text()[-2000:]}")
        time.sleep(0.02)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def server_folder(user: str) -> Iterator[Path]:
    """A folder that `user` may enter, which pytest's own are not when we are root. A killed run's is swept later."""
    with closing(OwnedFolder()) as owned:
        folder = owned.path / "server"
        folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(folder, user)
        yield folder


class MariaDB:
    """A real MariaDB on a port that it keeps over restarts."""

    USER = PASSWORD = "keeper"
    RUN_AS = "mysql"
    # Writing a redo log of the usual size takes longer than all the rest of the start.
    SMALL = ("--innodb-log-file-size=4M",)

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self._program = find_program("mariadbd", "mariadb-server")
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self._process: subprocess.Popen[bytes] | None = None

    def initialise(self) -> None:
        """Have our user made at each start, without a word to replicas: each has it by itself."""
        shutil.copytree(_new_mariadb(), self.folder / "data")
        grant = f"GRANT ALL ON *.* TO '{self.USER}'@'127.0.0.1' IDENTIFIED BY '{self.PASSWORD}' WITH GRANT OPTION;"
        (self.folder / "init.sql").write_text(f"SET sql_log_bin = 0;\n{grant}\n")
        if os.geteuid() == 0:
            for path in (self.folder / "data", *(self.folder / "data").rglob("*")):
                shutil.chown(path, self.RUN_AS)

    def start(self) -> None:
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start it, and do not wait for it."""
        options = ["--no-defaults", f"--datadir={self.folder}/data", f"--socket={self.folder}/socket"]
        options += ["--bind-address=127.0.0.1", f"--port={self.port}", f"--init-file={self.folder}/init.sql"]
        options += ["--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0", "--max-connections=100", *self.SMALL]
        self._process = start_program([self._program, *options, *self.options], self.folder, self.RUN_AS)

    def wait(self) -> None:
        """Wait until it answers."""
        assert self._process is not None
        wait_until(self._answers, self._process, self.folder)

    def stop(self) -> None:
        if self._process:
            end(self._process)
            self._process = None

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.stop()
        self._reserved.close()

    def url(self, driver: str = "aiomysql", database: str = "") -> str:
        return f"mysql+{driver}://{self.USER}:{self.PASSWORD}@127.0.0.1:{self.port}/{database}"

    def query(self, sql: str, database: str = "") -> list[tuple[str, ...]]:
        result = self._client(sql, database)
        assert result.returncode == 0, result.stderr
        return [tuple(line.split("\t")) for line in result.stdout.splitlines()]

    def execute(self, sql: str, database: str = "") -> None:
        self.query(sql, database)

    def connections(self, where: str = "true") -> list[int]:
        """Ids of client connections, never our own; `where` is a condition on information_schema.processlist."""
        others = "id <> connection_id() AND user NOT IN ('system user', 'event_scheduler')"
        return [
            int(row[0])
            for row in self.query(f"SELECT id FROM information_schema.processlist WHERE {others} AND ({where})")
        ]

    def kill_connections(self, where: str = "true") -> int:
        ids = self.connections(where)
        for number in ids:
            self._client(f"KILL {number}", "")
        return len(ids)

    def _answers(self) -> bool:
        return self._client("SELECT 1", "").returncode == 0

    def _client(self, sql: str, database: str) -> subprocess.CompletedProcess[str]:
        options = ["--no-defaults", "--host=127.0.0.1", f"--port={self.port}", f"--user={self.USER}", "--batch"]
        environment = os.environ | {"MYSQL_PWD": self.PASSWORD}
        command = ["mariadb", *options, "--skip-column-names", f"--execute={sql}", database]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@cache
def _new_mariadb() -> Path:
    """The files of a MariaDB that was never started. Making them takes ten times as long as a copy."""
    stack = ExitStack()
    atexit.register(stack.close)
    folder = stack.enter_context(server_folder(MariaDB.RUN_AS))
    options = ["--no-defaults", f"--datadir={folder}/data", "--skip-test-db", *MariaDB.SMALL]
    process = start_program(["mariadb-install-db", *options], folder, MariaDB.RUN_AS)
    assert process.wait(60) == 0, (folder / "log").read_text()
    return folder / "data"


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """One MariaDB for the whole run. Do not stop it: use `own_mariadb` for that."""
    with running_mariadb() as server:
        yield server


@pytest.fixture
def own_mariadb() -> Iterator[MariaDB]:
    """A MariaDB that this test may stop, kill and reconfigure. Takes seconds to make."""
    with running_mariadb() as server:
        yield server


@contextmanager
def running_mariadb() -> Iterator[MariaDB]:
    find_program("mariadbd", "mariadb-server")
    with server_folder(MariaDB.RUN_AS) as folder, closing(MariaDB(folder)) as server:
        server.initialise()
        server.start()
        yield server


@dataclass
class FreshMariaDB:
    """A MariaDB database that only this test uses."""

    server: MariaDB
    name: str
    may_leave_backends: bool = False

    def url(self, driver: str = "aiomysql") -> str:
        return self.server.url(driver, self.name)

    def query(self, sql: str) -> list[tuple[str, ...]]:
        return self.server.query(sql, self.name)

    def execute(self, sql: str) -> None:
        self.server.execute(sql, self.name)

    def connections(self, where: str = "true") -> list[int]:
        return self.server.connections(f"db = '{self.name}' AND ({where})")

    def kill_connections(self, where: str = "true") -> int:
        return self.server.kill_connections(f"db = '{self.name}' AND ({where})")


@pytest.fixture
def fresh_mariadb(mariadb: MariaDB) -> Iterator[FreshMariaDB]:
    """An empty MariaDB database. Connections left open fail the test, unless it sets `may_leave_backends`."""
    database = FreshMariaDB(mariadb, f"test_{os.getpid()}_{next(_numbers)}")
    mariadb.execute(f"CREATE DATABASE {database.name}")
    try:
        yield database
        left = [] if database.may_leave_backends else left_after_a_moment(database.connections)
    finally:
        database.kill_connections()
        mariadb.execute(f"DROP DATABASE {database.name}")
    assert not left, f"the test left connections open: {left}"


class PgBouncer:
    """A real PgBouncer in front of a PostgreSQL."""

    RUN_AS = "nobody"

    def __init__(self, server: EmbeddedPostgres, folder: Path, settings: dict[str, object]) -> None:
        self._program = find_program("pgbouncer", "pgbouncer")
        self._reserved = ReservedPort()
        self._server = server
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = self._reserved.number
        given: dict[str, object] = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": folder / "users",
            "admin_users": "postgres",
            "default_pool_size": 20,
            **settings,
        }
        lines = [f"{name} = {value}\n" for name, value in given.items()]
        databases = f"[databases]\n* = host=127.0.0.1 port={server.port}\n"
        (folder / "pgbouncer.ini").write_text(f"{databases}[pgbouncer]\n{''.join(lines)}")
        (folder / "users").write_text('"postgres" ""\n')

    def start(self) -> None:
        self._process = start_program([self._program, f"{self._folder}/pgbouncer.ini"], self._folder, self.RUN_AS)
        wait_until(self._listens, self._process, self._folder)

    def stop(self) -> None:
        """End it at once, as SIGINT twice would; clients are cut off."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.stop()
        self._reserved.close()

    def url(self, driver: str = "asyncpg", database: str = "postgres") -> str:
        return make_url(self._server.url(driver, database)).set(port=self.port).render_as_string(hide_password=False)

    def admin(self, command: str) -> str:
        """A command on the admin console (SHOW POOLS, PAUSE, RESUME, KILL ...); its output as CSV."""
        psql = find_programs("18") / "psql"
        target = f"host=127.0.0.1 port={self.port} user=postgres dbname=pgbouncer"
        result = subprocess.run(
            [psql, "-X", "--csv", "-d", target, "-c", command], capture_output=True, text=True, check=True
        )
        return result.stdout

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def pgbouncer(postgres: EmbeddedPostgres) -> Iterator[Callable[..., PgBouncer]]:
    """Starts PgBouncers, in front of `postgres` or of `server`: pgbouncer("session", default_pool_size=5, ...)."""
    find_program("pgbouncer", "pgbouncer")
    with ExitStack() as stack:

        def start(
            pool_mode: Literal["session", "transaction", "statement"] = "transaction",
            server: EmbeddedPostgres = postgres,
            **settings: object,
        ) -> PgBouncer:
            folder = stack.enter_context(server_folder(PgBouncer.RUN_AS))
            pooler = stack.enter_context(closing(PgBouncer(server, folder, {"pool_mode": pool_mode, **settings})))
            pooler.start()
            return pooler

        yield start
