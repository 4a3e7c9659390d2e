"""Sessions that other programs have open, and looks at them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import NullPool, create_engine, make_url

from poolkeeper.model import ServerFacts, ServerSession
from poolkeeper.server import look


def see(url: str, application: str | None = None) -> ServerFacts:
    """One look through a connection of its own."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        return look(connection, application)


def see_until(url: str, is_there: Callable[[ServerFacts], object], seconds: float = 5.0) -> ServerFacts:
    """Look again and again until the server shows what the test is about."""
    deadline = time.monotonic() + seconds
    while not is_there(facts := see(url)):
        assert time.monotonic() < deadline, facts
        time.sleep(0.02)
    return facts


def one(facts: ServerFacts, backend: int) -> ServerSession:
    found = facts.session(backend)
    assert found is not None, facts.sessions
    return found


class Client:
    """Another program's session; its statements run in a thread, so that they may hang."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, poolclass=NullPool)
        self._connection: Any = self._engine.raw_connection()
        self._threads: list[threading.Thread] = []

    @property
    def id(self) -> int:
        raw = self._connection.driver_connection
        return int(raw.info.backend_pid if hasattr(raw, "info") else raw.thread_id())

    def execute(self, sql: str) -> None:
        with contextlib.closing(self._connection.cursor()) as cursor:
            cursor.execute(sql)

    def begin_to_execute(self, sql: str) -> None:
        """Do not wait for the answer."""

        def run() -> None:
            # The test ends it by letting others go; what it gets then is of no interest.
            with contextlib.suppress(Exception):
                self.execute(sql)

        self._threads.append(threading.Thread(target=run, daemon=True))
        self._threads[-1].start()

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        for thread in self._threads:
            thread.join(10)
        self._connection.driver_connection.close()


Connect = Callable[[str], Client]


@contextlib.contextmanager
def clients() -> Iterator[Connect]:
    """Opens clients, and closes them in their order: the first lets the others go."""
    opened: list[Client] = []

    def connect(url: str) -> Client:
        opened.append(Client(url))
        return opened[-1]

    try:
        yield connect
    finally:
        for client in opened:
            client.close()


def with_user(url: str, user: str, password: str | None = None) -> str:
    return make_url(url).set(username=user, password=password).render_as_string(hide_password=False)
