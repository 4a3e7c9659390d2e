"""A steady load on the reference service from its own process, so that it takes no turn of anybody's event loop."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import IO, Self

from poolkeeper.drill.load import Load, LoadResult, steady
from poolkeeper.drill.traffic import OrdersTraffic


@dataclass(frozen=True, slots=True)
class SteadyLoad:
    """What to send: `rate` requests per second for `seconds`; a request fails after `timeout` seconds."""

    address: str
    rate: float
    seconds: float
    timeout: float = 10.0
    seed: int = 1

    def load(self) -> Load:
        traffic = OrdersTraffic(seed=self.seed)
        return Load(self.address, traffic, steady(self.rate, self.seconds), timeout=self.timeout)


class LoadProcess:
    """Runs a `SteadyLoad` in its own process from `with` on; it stops when this process is gone."""

    def __init__(self, wanted: SteadyLoad) -> None:
        self._wanted = wanted
        self._process: subprocess.Popen[str] | None = None
        self._lifeline: IO[bytes] | None = None

    def __enter__(self) -> Self:
        reading, writing = os.pipe()
        with open(reading, "rb") as its_end:
            self._lifeline = open(writing, "wb")
            self._process = subprocess.Popen(
                [sys.executable, "-m", "poolkeeper.drill.load_process", json.dumps(asdict(self._wanted))],
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
            self._process.communicate()

    def stop(self) -> None:
        """Send nothing more; `result` then returns early."""
        if self._lifeline is not None:
            self._lifeline.close()

    def result(self) -> LoadResult:
        """Wait for the end of the load. Raises RuntimeError when its process failed."""
        if self._process is None:
            raise RuntimeError("the load was never started: use `with`")
        # What ends it is its own schedule and timeout; this bound is for a machine that stands still.
        limit = self._wanted.seconds + self._wanted.timeout + 30
        output, _ = self._process.communicate(timeout=limit)
        if self._process.returncode != 0:
            raise RuntimeError(f"the load process ended with {self._process.returncode}")
        return LoadResult.from_dict(json.loads(output))


async def run(wanted: SteadyLoad) -> LoadResult:
    load = wanted.load()
    loop = asyncio.get_running_loop()

    def owner_gone() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            load.stop()

    loop.add_reader(0, owner_gone)
    return await load.run()


def main() -> None:
    result = asyncio.run(run(SteadyLoad(**json.loads(sys.argv[1]))))
    json.dump(result.as_dict(), sys.stdout)


if __name__ == "__main__":
    main()
