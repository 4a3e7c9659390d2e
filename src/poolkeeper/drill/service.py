"""The reference service, or any other app, under a real uvicorn in a process of its own."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

LIFELINE = Path(__file__).with_name("lifeline.py")
_ADDRESS = re.compile(r"Uvicorn running on (http://\S+)")
_SERVER = re.compile(r"Started (?:parent|server) process \[(\d+)\]")
_WORKER = re.compile(r"Started server process \[(\d+)\]")
_STARTED = "Application startup complete"
_POLL = 0.02


class ServiceFailed(RuntimeError):  # noqa: N818 - says what happened, as errors.py does
    """The service could not start. `log` has the last lines that it wrote."""

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


def reference_service() -> Path:
    """The folder to give to `uvicorn --app-dir`: inside an installed wheel, or in the checkout.

    Raises FileNotFoundError when there is neither.
    """
    package = Path(__file__).resolve().parent.parent
    candidates = package / "examples", package.parent.parent / "examples" / "orders"
    for folder in candidates:
        if (folder / "orders" / "main.py").is_file():
            return folder
    raise FileNotFoundError(f"the reference service is in none of {', '.join(map(str, candidates))}")


class Service:
    """An app under uvicorn on a free loopback port; a context manager, blocking.

    The log goes to `folder`/service.log. `environment` is added to ours, without our DATABASE_* variables. The process
    and its workers end with this object, and also when this process dies, whatever way: see lifeline.py. `grace` is how
    long (seconds) they may take to stop before they are killed. The app is ready when a GET of `ready` answers 200.
    """

    def __init__(
        self,
        database_url: str,
        folder: Path,
        *,
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
        app: str = "orders.main:app",
        app_dir: Path | None = None,
        grace: float = 15.0,
        ready: str = "/health/ready",
    ) -> None:
        self.workers, self._app, self._app_dir, self._grace = workers, app, app_dir, grace
        self._environment = _environment(database_url, folder, environment or {})
        self._ready_path, self._last_answer = ready, "nothing"
        self._log = folder / "service.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<Service {self._app} {self.address or 'without address'}, {self.workers} workers, {state}>"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The uvicorn process (with several workers their parent): the one to send signals to."""
        found = _SERVER.search(self.log())
        if found is None:
            raise ProcessLookupError("uvicorn has not started")
        return int(found[1])

    @property
    def worker_pids(self) -> list[int]:
        """The processes that serve, in the order in which they started, also those that have ended since."""
        return [int(pid) for pid in _WORKER.findall(self.log())]

    @property
    def started(self) -> int:
        """How many processes have come up so far."""
        return self.log().count(_STARTED)

    @property
    def ended(self) -> int:
        """How many processes have ended in good order so far."""
        return self.log().count("Finished server process")

    def log(self, last_lines: int | None = None) -> str:
        """What the service wrote, or its last lines."""
        text = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        return text if last_lines is None else "\n".join(text.splitlines()[-last_lines:])

    def start(self, timeout: float = 60.0) -> None:
        """Start and wait until every worker is up and the app is ready.

        Raises ServiceFailed when it dies or is not ready within `timeout` seconds; nothing is left running then.
        """
        if self.running:
            raise RuntimeError(f"{self!r} is already running")
        self._log.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(LIFELINE), str(self._grace), *self._command()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        try:
            self._wait_until_ready(time.monotonic() + timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> int | None:
        """Ask it to stop, wait `grace` seconds, kill what is left. Returns uvicorn's exit code, as a shell has it."""
        if self._process is None:
            return None
        assert self._process.stdin is not None  # noqa: S101 - opened with a pipe
        self._process.stdin.close()
        return self._process.wait()

    def wait(self, timeout: float) -> int:
        """Wait for an end that somebody else caused, by a signal to `pid`. Raises subprocess.TimeoutExpired."""
        if self._process is None:
            raise RuntimeError("the service was never started")
        return self._process.wait(timeout)

    def _command(self) -> list[str]:
        app_dir = self._app_dir or reference_service()
        options = {"--app-dir": str(app_dir), "--host": "127.0.0.1", "--port": "0", "--workers": str(self.workers)}
        flat = [word for option in options.items() for word in option]
        return [sys.executable, "-m", "uvicorn", *flat, "--no-access-log", "--no-use-colors", self._app]

    def _wait_until_ready(self, deadline: float) -> None:
        while not self._ready():
            if not self.running:
                raise ServiceFailed("the service ended while it started", self.log(30))
            if time.monotonic() > deadline:
                said = f"GET {self._ready_path} answered {self._last_answer}"
                raise ServiceFailed(f"the service was not ready in time: {said}", self.log(30))
            time.sleep(_POLL)

    def _ready(self) -> bool:
        log = self.log()
        address = _ADDRESS.search(log)
        if address is None or log.count(_STARTED) < self.workers:
            return False
        self.address = address[1]
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
        try:
            connection.request("GET", self._ready_path)
            status = connection.getresponse().status
        except OSError:
            return False
        else:
            self._last_answer = str(status)
            return status == 200
        finally:
            connection.close()


def _environment(database_url: str, folder: Path, added: Mapping[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.upper().startswith("DATABASE_")}
    # The reference service may stand in a folder of the user's: no compiled files are left there.
    fixed = {"DATABASE_URL": database_url, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    # Where the owner tidies up, also after a service that was killed.
    return ours | fixed | {"TMPDIR": str(folder)} | dict(added)
