"""Run an app under a real uvicorn, in a thread of the test, so that the test can look at its pool."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import fastapi
import pytest
import uvicorn
from fastapi import FastAPI

_START_LIMIT = 20.0

# An endpoint that is a generator itself; older FastAPI refuses it when the route is declared.
GENERATOR_ENDPOINTS = tuple(int(part) for part in fastapi.__version__.split(".")[:2]) >= (0, 135)
streams_generators = pytest.mark.skipif(
    not GENERATOR_ENDPOINTS, reason="FastAPI streams generator endpoints since 0.135"
)


@dataclass
class Served:
    """A running service; `url` has no slash at the end."""

    url: str
    server: uvicorn.Server
    thread: threading.Thread

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def requests_under_way(self) -> int:
        return len(self.server.server_state.tasks)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(timeout=_START_LIMIT)
        assert not self.thread.is_alive(), "the server did not stop"


@contextmanager
def serve(app: FastAPI, **options: object) -> Generator[Served]:
    """Serve the app on a free port until the block ends, lifespan included."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, **options)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="uvicorn", daemon=True)
    thread.start()
    try:
        yield Served(f"http://127.0.0.1:{_port(server, thread)}", server, thread)
    finally:
        server.should_exit = True
        thread.join(timeout=_START_LIMIT)
    assert not thread.is_alive(), "the server did not stop"


def _port(server: uvicorn.Server, thread: threading.Thread) -> int:
    deadline = time.monotonic() + _START_LIMIT
    while not server.started:
        assert thread.is_alive(), "the server ended while it started"
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.005)
    return int(server.servers[0].sockets[0].getsockname()[1])


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something that has to happen, and fail when it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to that within {seconds:g} s"
        time.sleep(0.005)
