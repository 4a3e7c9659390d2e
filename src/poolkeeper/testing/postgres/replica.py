"""A streaming replica of an embedded PostgreSQL."""

from __future__ import annotations

import shutil
import time

from poolkeeper.testing.postgres.errors import failed
from poolkeeper.testing.postgres.server import CONFIGURATION, Server

_LOOK_AGAIN = 0.01


class Replica(Server):
    """A hot standby on a port of its own, made by `EmbeddedPostgres.add_replica` and closed with its primary.

    Its methods block and raise `EmbeddedPostgresError`, like those of the primary.
    """

    def __init__(self, name: str, primary: Server) -> None:
        super().__init__(
            name,
            launcher=primary.launcher,
            folder=primary.data.parent,
            socket_folder=primary.socket_folder,
            credentials=primary.credentials,
            settings=primary.settings,
        )
        self._primary = primary

    def copy_primary(self) -> None:
        """Take a base backup of the running primary, set up to follow it. The replica of an earlier run is replaced."""
        if (self.data / CONFIGURATION).exists():
            shutil.rmtree(self.data)
        self.launcher.new_folder(self.data)
        self.launcher.run(
            "pg_basebackup",
            *("-D", self.data, "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"),
            *("--no-sync", "--no-manifest", "--no-password", "--host", self._primary.socket_folder),
            *("--port", str(self._primary.port), "--username", self.credentials.user),
            environment={"PGAPPNAME": self.name, "PGPASSWORD": self.credentials.password or ""},
        )

    @property
    def is_promoted(self) -> bool:
        """Whether it is a primary of its own by now. Asks the server."""
        return self.query("SELECT pg_is_in_recovery()") == [("f",)]

    def promote(self, timeout: float = 30.0) -> None:
        """Make it a primary that takes writes, and wait until it does. The old primary is not told."""
        if self.query(f"SELECT pg_promote(true, {max(1, round(timeout))})") != [("t",)]:
            raise failed(f"{self.name} was not promoted within {timeout:g} s", self.log)

    def pause_replay(self, timeout: float = 5.0) -> None:
        """Stop applying what the primary sends, so that reads grow stale; wait until it has stopped."""
        self.execute("SELECT pg_wal_replay_pause()")
        self._wait_until("pg_get_wal_replay_pause_state() = 'paused'", timeout, "did not pause")

    def resume_replay(self) -> None:
        """Apply again what the primary sends, and what has been waiting."""
        self.execute("SELECT pg_wal_replay_resume()")

    def catch_up(self, timeout: float = 10.0) -> None:
        """Wait until everything that the primary has written by now can be read here."""
        ((written,),) = self._primary.query("SELECT pg_current_wal_flush_lsn()")
        self._wait_until(f"pg_last_wal_replay_lsn() >= '{written}'", timeout, "did not catch up")

    def _wait_until(self, condition: str, timeout: float, complaint: str) -> None:
        deadline = time.monotonic() + timeout
        while self.query(f"SELECT {condition}") != [("t",)]:
            if time.monotonic() > deadline:
                raise failed(f"{self.name} {complaint} within {timeout:g} s", self.log)
            time.sleep(_LOOK_AGAIN)
