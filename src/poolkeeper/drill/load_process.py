"""A load on the reference service from its own process, so that it takes no turn of anybody's event loop."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import IO, Any, Self

from poolkeeper.drill.load import Load, LoadResult, steady
from poolkeeper.drill.paths import PathLoad
from poolkeeper.drill.phased import Outcome, Outcomes, PhasedLoad
from poolkeeper.drill.traffic import OrdersTraffic


@dataclass(frozen=True, slots=True)
class SteadyLoad:
    """The shop's usual mix: `rate` requests per second for `seconds`; a request fails after `timeout` seconds."""

    rate: float
    seconds: float
    timeout: float = 10.0
    seed: int = 1

    def load(self, address: str) -> Load:
        traffic = OrdersTraffic(seed=self.seed)
        return Load(address, traffic, steady(self.rate, self.seconds), timeout=self.timeout)


# Not `-m`: the package has imported this module by then, and a second one of it would be made. `-P` because the folder
# that we are called from may be that of an app, with modules of any name.
_PROGRAM = "from poolkeeper.drill.load_process import main; main()"
Wanted = SteadyLoad | PhasedLoad | PathLoad
_KINDS: dict[str, Callable[..., Wanted]] = {kind.__name__: kind for kind in (SteadyLoad, PhasedLoad, PathLoad)}


class LoadProcess:
    """Runs a load on the service at `address` in its own process from `with` on; it stops when this process is gone."""

    def __init__(self, address: str, wanted: Wanted) -> None:
        self._address, self._wanted = address, wanted
        self._process: subprocess.Popen[str] | None = None
        self._lifeline: IO[bytes] | None = None
        self._began: float | None = None
        self._said: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        reading, writing = os.pipe()
        arguments = [self._address, type(self._wanted).__name__, json.dumps(asdict(self._wanted))]
        with open(reading, "rb") as its_end:
            self._lifeline = open(writing, "wb")
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, *arguments],
                stdin=its_end,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()

    def stop(self) -> None:
        """Send nothing more; `result` then returns early."""
        if self._lifeline is not None:
            self._lifeline.close()

    def began(self) -> float:
        """When the load began, by `time.monotonic()`; waits for it. Raises RuntimeError when its process failed."""
        if self._began is None:
            self._began = float(self._line()["began"])
        return self._began

    def result(self) -> LoadResult:
        """Wait for the end of the load. Raises RuntimeError when its process failed."""
        return LoadResult.from_dict(self._result()["load"])

    def outcomes(self) -> list[Outcome]:
        """Every request, but of a `SteadyLoad`, as it ended; waits and raises as `result` does."""
        return [Outcome(*kept) for kept in self._result()["outcomes"]]

    def _result(self) -> dict[str, Any]:
        self.began()
        if self._said is None:
            self._said = self._line()
        return self._said

    def _line(self) -> dict[str, Any]:
        """What the process says next."""
        process = self._process
        if process is None or process.stdout is None:
            raise RuntimeError("the load was never started: use `with`")
        # What ends it is its own schedule and timeout; this bound is for a machine that stands still.
        bound = threading.Timer(self._wanted.seconds + self._wanted.timeout + 30, process.kill)
        bound.start()
        try:
            line = process.stdout.readline()
        finally:
            bound.cancel()
        if not line:
            raise RuntimeError(f"the load process ended with {process.wait()}")
        said: dict[str, Any] = json.loads(line)
        return said


async def run(load: Load) -> None:
    loop = asyncio.get_running_loop()

    def owner_gone() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            load.stop()

    loop.add_reader(0, owner_gone)
    # The loop's clock is time.monotonic(), which all processes of a machine share.
    say({"began": loop.time()})
    result = await load.run()
    kept = load.recorder.kept if isinstance(load.recorder, Outcomes) else []
    say({"load": result.as_dict(), "outcomes": kept})


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - to the process that started this one


def main() -> None:
    address, kind, values = sys.argv[1:]
    asyncio.run(run(_KINDS[kind](**json.loads(values)).load(address)))
