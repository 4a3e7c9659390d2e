"""A PostgreSQL cluster of one's own: made, run and removed again."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from poolkeeper.testing.postgres.folder import OwnedFolder
from poolkeeper.testing.postgres.launcher import Launcher
from poolkeeper.testing.postgres.processes import end_postmasters_below
from poolkeeper.testing.postgres.programs import Version
from poolkeeper.testing.postgres.replica import Replica
from poolkeeper.testing.postgres.server import CONFIGURATION, Credentials, Server
from poolkeeper.testing.postgres.watchdog import Watchdog

# sun_path of sockaddr_un holds 108 bytes with the final zero (unix(7)); PostgreSQL also makes a lock file beside it.
_SOCKET_PATH_LIMIT = 107
_LONGEST_SOCKET = ".s.PGSQL.65535.lock"

_ALWAYS_THERE = "postgres"

# Tests want speed, not survival of a power cut. A killed server still recovers every commit: the kernel keeps what was
# written. That is why synchronous_commit stays on: without it a commit is reported before it is written at all.
_FAST = {"fsync": "off", "full_page_writes": "off"}
_REPLICABLE = {
    "wal_level": "replica",
    "max_wal_senders": "10",
    "hot_standby": "on",
    "wal_keep_size": "256MB",
    "wal_retrieve_retry_interval": "100ms",  # a replica finds its restarted primary soon
}
# Dynamic shared memory as files below the data folder: nothing stays in the machine's /dev/shm after a kill.
_TIDY = {"dynamic_shared_memory_type": "mmap"}


class EmbeddedPostgres(Server):
    """A real PostgreSQL for tests, demos and drills: on a free loopback port and a Unix socket, also for root.

        with EmbeddedPostgres() as pg:
            engine = create_async_engine(pg.url("asyncpg"))

    Without `folder` everything lies in a temporary folder, which is removed at the end; a given folder is kept and used
    again by the next start. `settings` are lines of postgresql.conf and win over ours (which trade durability for
    speed); ALTER SYSTEM wins over both. `user` is the superuser. `version` is "18" or "16" (from the wheel, without
    TLS), or "path" for a server of this machine.
    Nothing outlives the process that made it, even one that was killed. Raises `EmbeddedPostgresError`.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        version: Version = "18",
        max_connections: int = 100,
        settings: Mapping[str, str] | None = None,
        user: str = "postgres",
        password: str | None = None,
        database: str = "postgres",
        auth: Literal["trust", "scram-sha-256"] = "trust",
    ) -> None:
        if auth != "trust" and password is None:
            password = secrets.token_urlsafe(12)
        self._owned = [OwnedFolder(Path(folder) if folder is not None else None)]
        try:
            root = self._owned[0].path
            end_postmasters_below(root)
            self._auth = auth
            super().__init__(
                "primary",
                launcher=Launcher.for_folder(version, root),
                folder=root,
                socket_folder=self._socket_folder(root),
                credentials=Credentials(user, database, password),
                settings={"max_connections": str(max_connections)} | _FAST | _REPLICABLE | _TIDY | dict(settings or {}),
            )
            self.launcher.new_folder(self.socket_folder)
        except BaseException:
            self._give_folders_up()
            raise
        self._watchdog: Watchdog | None = None
        self._replicas: list[Replica] = []

    @property
    def folder(self) -> Path:
        """Where everything lies: data, socket, log."""
        return self._owned[0].path

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start(self, timeout: float = 30.0) -> None:
        """Make the cluster if there is none yet, start it, and wait until it takes connections."""
        with self._switch:
            self._refuse_when_closed()
            if self._watchdog is None:
                owned = [folder.path for folder in self._owned if folder.is_temporary]
                self._watchdog = Watchdog(self.folder, remove=owned)
            if not self.data.exists():
                self._initialise()
            super().start(timeout)
            self._make_database()

    @property
    def replicas(self) -> tuple[Replica, ...]:
        return tuple(self._replicas)

    def add_replica(self) -> Replica:
        """Make a streaming replica of this running server and start it. It is closed together with the primary."""
        with self._switch:
            replica = Replica(f"replica-{len(self._replicas) + 1}", self)
            self._replicas.append(replica)
            replica.copy_primary()
            replica.start()
            return replica

    def close(self) -> None:
        """Stop everything and remove the folder when it is a temporary one. Safe to call twice."""
        with self._switch, ExitStack() as ending:
            if self._watchdog is not None:
                ending.callback(self._watchdog.close)
            ending.callback(self._give_folders_up)
            ending.callback(super().close)
            for replica in self._replicas:
                ending.callback(replica.close)

    def _socket_folder(self, root: Path) -> Path:
        """Below the root, or in a short temporary folder when the root lies too deep for a socket's path."""
        candidate = root / "run"
        if len(str(candidate / _LONGEST_SOCKET).encode()) <= _SOCKET_PATH_LIMIT:
            return candidate
        self._owned.append(OwnedFolder(short=True))
        return self._owned[-1].path / "run"

    def _initialise(self) -> None:
        """Make the cluster beside its place and move it there, so that a half-made one is never taken for one."""
        staging = self.folder / ".initdb"
        shutil.rmtree(staging, ignore_errors=True)
        self.launcher.new_folder(staging)
        arguments = ["--no-sync", "--no-locale", "--encoding=UTF8", f"--auth={self._auth}"]
        if self.credentials.password is not None:
            secret = self.launcher.new_file(self.socket_folder / "password", f"{self.credentials.password}\n")
            arguments.append(f"--pwfile={secret}")
        self.launcher.run("initdb", "-D", staging, "--username", self.credentials.user, *arguments)
        (self.socket_folder / "password").unlink(missing_ok=True)
        with (staging / "postgresql.conf").open("a") as configuration:
            configuration.write(f"include = '{CONFIGURATION}'\n")
        self.launcher.new_file(staging / CONFIGURATION, "")
        staging.rename(self.data)

    def _make_database(self) -> None:
        name = self.credentials.database
        if name == _ALWAYS_THERE:
            return
        literal, identifier = name.replace("'", "''"), name.replace('"', '""')
        exists = self.query(f"SELECT 1 FROM pg_database WHERE datname = '{literal}'", database="postgres")  # noqa: S608
        if not exists:
            self.execute(f'CREATE DATABASE "{identifier}"', database=_ALWAYS_THERE)

    def _give_folders_up(self) -> None:
        for folder in self._owned:
            folder.close()
