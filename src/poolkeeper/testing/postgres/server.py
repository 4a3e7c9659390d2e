"""One running PostgreSQL server: a primary or a replica."""

from __future__ import annotations

import csv
import io
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from sqlalchemy import URL

from poolkeeper.testing.ports import LOOPBACK, ReservedPort
from poolkeeper.testing.postgres.errors import EmbeddedPostgresError, failed
from poolkeeper.testing.postgres.launcher import Launcher
from poolkeeper.testing.postgres.processes import end_postmaster, kill_family, postmaster_status, remove_leftovers

StopMode = Literal["smart", "fast", "immediate"]
Row = tuple[str | None, ...]

APPLICATION_NAME = "poolkeeper.testing"
CONFIGURATION = "poolkeeper.conf"
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_NULL = "\x02"
_OTHERS = f"backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> '{APPLICATION_NAME}'"
_ACTIVITY = "pid, datname, usename, application_name, state, query, wait_event, backend_type"


@dataclass(frozen=True, slots=True)
class Backend:
    """A client's connection, as pg_stat_activity shows it. `state` is None while the server is not telling."""

    pid: int
    datname: str | None
    usename: str | None
    application_name: str
    state: str | None
    query: str
    wait_event: str | None
    backend_type: str


@dataclass(frozen=True, slots=True)
class Credentials:
    user: str
    database: str
    password: str | None = field(repr=False)


class Server:
    """A server on one data folder and one port, which it keeps over restarts. Every method blocks.

    From async code call through `asyncio.to_thread`. Methods that start and stop may be called from any thread.
    """

    def __init__(
        self,
        name: str,
        *,
        launcher: Launcher,
        folder: Path,
        socket_folder: Path,
        credentials: Credentials,
        settings: Mapping[str, str],
    ) -> None:
        self.name = name
        self.data = folder / name
        self.log = folder / f"{name}.log"
        self.socket_folder = socket_folder
        self.launcher = launcher
        self.credentials = credentials
        self.settings = dict(settings)
        self._reserved = ReservedPort()
        self._process: subprocess.Popen[bytes] | None = None
        self._switch = threading.RLock()
        self._is_closed = False

    def __repr__(self) -> str:
        state = "running" if self.is_running else "stopped"
        return f"<{type(self).__name__} {self.name} {state} on {LOOPBACK}:{self.port}>"

    @property
    def host(self) -> str:
        return LOOPBACK

    @property
    def port(self) -> int:
        """The TCP port on loopback; the same for the whole life of this object, also while the server is down."""
        return self._reserved.number

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def dsn(self) -> str:
        """A libpq connection URI over TCP, password included."""
        user, password, database = (
            quote(part, safe="")
            for part in (self.credentials.user, self.credentials.password or "", self.credentials.database)
        )
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@{LOOPBACK}:{self.port}/{database}"

    def url(self, driver: str = "asyncpg", database: str | None = None) -> str:
        """A SQLAlchemy URL over TCP, password included. `driver` is asyncpg, psycopg (sync and async), ..."""
        return URL.create(
            f"postgresql+{driver}",
            username=self.credentials.user,
            password=self.credentials.password,
            host=LOOPBACK,
            port=self.port,
            database=database or self.credentials.database,
        ).render_as_string(hide_password=False)

    def start(self, timeout: float = 30.0) -> None:
        """Start the server and wait until it takes connections; nothing happens when it runs already.

        Whatever a crash left in the data folder is cleaned up first. Raises `EmbeddedPostgresError` when it ends
        instead, or is not ready after `timeout` seconds.
        """
        with self._switch:
            if self.is_running:
                return
            self._refuse_when_closed()
            end_postmaster(self.data)
            self._write_settings()
            self._process = self.launcher.start("postgres", "-D", self.data, log=self.log)
            self._wait_until_ready(self._process, time.monotonic() + timeout)

    def stop(self, mode: StopMode = "fast", timeout: float = 30.0) -> None:
        """Stop the server; nothing happens when it is down.

        "fast" disconnects clients, "immediate" does not even write a checkpoint, "smart" waits for every client to
        leave by itself. Raises `EmbeddedPostgresError` when it still runs after `timeout` seconds.
        """
        with self._switch:
            if self._process is None:
                return
            if self._process.poll() is None:
                self._process.send_signal(_SIGNALS[mode])
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                raise failed(f"PostgreSQL did not stop ({mode}) within {timeout:g} s", self.log) from None
            self._process = None

    def restart(self, mode: StopMode = "fast", timeout: float = 30.0) -> None:
        """Stop in the given mode, then start on the same port. `timeout` seconds are allowed for each."""
        with self._switch:
            self.stop(mode, timeout)
            self.start(timeout)

    def kill(self) -> None:
        """SIGKILL the server with all its processes, as a crash would. `start` recovers from the write-ahead log."""
        with self._switch:
            if self._process is None:
                return
            kill_family(self._process.pid)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Stop the server for good and give its port back. Safe to call twice."""
        with self._switch:
            try:
                self.stop("immediate", timeout=10.0)
            except EmbeddedPostgresError:
                self.kill()
            remove_leftovers(self.data)
            self._is_closed = True
            self._reserved.close()

    def query(self, sql: str, database: str | None = None) -> list[Row]:
        """Run one statement as the superuser through psql; values come as text, NULL as None.

        No driver is needed and no pool is involved, so a test can look from outside. Raises `EmbeddedPostgresError`.
        """
        credentials = self.credentials
        output = self.launcher.run(
            "psql",
            *("--no-psqlrc", "--csv", "--tuples-only", "--quiet", f"--pset=null={_NULL}"),
            *("--host", self.socket_folder, "--port", str(self.port), "--username", credentials.user),
            *("--dbname", database or credentials.database, "--command", sql),
            environment={"PGAPPNAME": APPLICATION_NAME, "PGPASSWORD": credentials.password or ""},
        )
        rows = csv.reader(io.StringIO(output, newline=""))
        # psql writes a row of one empty string as a blank line, and rows without a column not at all.
        return [tuple(None if value == _NULL else value for value in row or ("",)) for row in rows]

    def execute(self, sql: str, database: str | None = None) -> None:
        """Run statements as the superuser, several of them as one transaction. Raises `EmbeddedPostgresError`."""
        self.query(sql, database)

    def activity(self, where: str = "true") -> list[Backend]:
        """The connections of clients, never our own; `where` is an SQL condition on pg_stat_activity."""
        rows = self.query(f"SELECT {_ACTIVITY} FROM pg_stat_activity WHERE {_OTHERS} AND ({where}) ORDER BY pid")  # noqa: S608
        return [_backend(row) for row in rows]

    def terminate_backends(self, where: str = "true", timeout: float = 5.0) -> int:
        """End the clients' connections that meet `where`, wait until they are gone, and say how many there were.

        Raises `EmbeddedPostgresError` when one is still there after `timeout` seconds.
        """
        # Materialized, so that no backend is terminated before its row was looked at.
        chosen = f"SELECT pid FROM pg_stat_activity WHERE {_OTHERS} AND ({where})"  # noqa: S608
        rows = self.query(f"WITH c AS MATERIALIZED ({chosen}) SELECT pid FROM c WHERE pg_terminate_backend(pid)")  # noqa: S608
        pids = ", ".join(str(pid) for (pid,) in rows)
        deadline = time.monotonic() + timeout
        while pids and self.activity(f"pid IN ({pids})"):
            if time.monotonic() > deadline:
                raise failed(f"a terminated backend is still there after {timeout:g} s", self.log)
        return len(rows)

    def _refuse_when_closed(self) -> None:
        if self._is_closed:
            raise EmbeddedPostgresError(f"{self.name} was closed; make a new one")

    def _write_settings(self) -> None:
        if not (self.data / CONFIGURATION).exists():
            raise EmbeddedPostgresError(f"{self.data} was not made by EmbeddedPostgres; choose another folder")
        given = self.settings | {
            "port": str(self.port),
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": str(self.socket_folder),
        }
        lines = [f"{name} = '{_quoted(value)}'\n" for name, value in given.items()]
        self.launcher.new_file(self.data / CONFIGURATION, "".join(lines))

    def _wait_until_ready(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        while postmaster_status(self.data) not in {"ready", "standby"}:
            if process.poll() is not None:
                self._process = None
                raise failed(f"PostgreSQL ended while starting (exit status {process.returncode})", self.log)
            if time.monotonic() > deadline:
                self.kill()
                raise failed("PostgreSQL did not become ready in time", self.log)
            time.sleep(0.005)


def _quoted(value: str) -> str:
    if "\n" in value:
        raise EmbeddedPostgresError("a setting of the server cannot hold a line break")
    return value.replace("\\", "\\\\").replace("'", "''")


def _backend(row: Row) -> Backend:
    pid, datname, usename, application_name, state, query, wait_event, backend_type = row
    return Backend(
        int(pid or 0), datname, usename, application_name or "", state, query or "", wait_event, backend_type or ""
    )
