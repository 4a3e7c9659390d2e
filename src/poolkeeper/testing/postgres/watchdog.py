"""Nothing outlives its owner: a small process ends the servers when we are gone, also after a SIGKILL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from poolkeeper.testing.postgres import processes


class Watchdog:
    """Watches over the servers below `folder` for as long as this process lives and `close` was not called."""

    def __init__(self, folder: Path, remove: list[Path]) -> None:
        program = [sys.executable, "-I", "-S", processes.__file__]
        self._process = subprocess.Popen(
            [*program, folder, *remove],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def close(self) -> None:
        """End the watch; what still runs is left alone. Safe to call twice."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.communicate(b".")
