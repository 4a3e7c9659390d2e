"""A PgBouncer between the proxy and the server, where one is installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from poolkeeper.drill.service import LIFELINE
from poolkeeper.testing import EmbeddedPostgres
from poolkeeper.testing.ports import LOOPBACK, ReservedPort

PoolMode = Literal["session", "transaction"]

# Seconds. It listens within a few hundredths; a busy machine takes longer.
_READY_WITHIN = 20.0
_GRACE = 2.0
# As root it has to become somebody else.
_NOBODY = "nobody"


def program() -> str | None:
    """Where PgBouncer is; Debian keeps it off the PATH of ordinary users."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def missing() -> str:
    """Why no pooler can be put up here; empty where one can."""
    return "" if program() else "PgBouncer is not installed"


class Pooler:
    """A PgBouncer before `server` on a port that it keeps over restarts; it ends with this process.

    In session mode a server connection ends with its client, so that what is left on the server was left by a client;
    in transaction mode `shares` is true, and those that idle are the pooler's own.

    Raises RuntimeError where it does not come up, with its log.
    """

    def __init__(self, server: EmbeddedPostgres, folder: Path, mode: PoolMode, settings: Mapping[str, object]) -> None:
        self.shares = mode == "transaction"
        self._reserved = ReservedPort()
        self._folder = folder / "pgbouncer"
        self._folder.mkdir(mode=0o755)
        self._process: subprocess.Popen[bytes] | None = None
        given: dict[str, object] = {
            "listen_addr": LOOPBACK,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": self._folder / "users",
            "pool_mode": mode,
            **({} if self.shares else {"server_lifetime": 0}),
            **settings,
        }
        lines = "".join(f"{name} = {value}\n" for name, value in given.items())
        databases = f"[databases]\n* = host={server.host} port={server.port}\n"
        self._configuration.write_text(f"{databases}[pgbouncer]\n{lines}")
        (self._folder / "users").write_text(f'"{server.credentials.user}" ""\n')

    @property
    def port(self) -> int:
        return self._reserved.number

    def start(self) -> None:
        """Start it and wait until it listens."""
        become = ["-u", _NOBODY] if os.geteuid() == 0 else []
        command = [program() or "pgbouncer", *become, str(self._configuration)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(LIFELINE), str(_GRACE), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _READY_WITHIN
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"PgBouncer did not start:\n{(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End it at once; its clients are cut off. Nothing happens where it does not run."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End it and give its port back."""
        self.stop()
        self._reserved.close()

    @property
    def _configuration(self) -> Path:
        return self._folder / "pgbouncer.ini"

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self.port)) == 0
