"""Empty databases for one test after the other, on one PostgreSQL."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

from poolkeeper.testing import EmbeddedPostgres, FreshDatabase
from poolkeeper.testing.fresh import left_after_a_moment

_EMPTY = """
    DROP SCHEMA public CASCADE;
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
    SELECT pg_stat_reset();
"""
# How much there is of whatever a test may make in a database or set for it, and is not undone by that.
_CONTENT = """
    SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_type),
        (SELECT count(*) FROM pg_namespace WHERE nspname !~ '^pg_'), (SELECT count(*) FROM pg_extension),
        (SELECT count(*) FROM pg_event_trigger), (SELECT count(*) FROM pg_publication),
        (SELECT count(*) FROM pg_default_acl), (SELECT count(*) FROM pg_largeobject_metadata),
        (SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = pg_database.oid), datconnlimit, datacl
    FROM pg_database WHERE datname = current_database()
"""


class EmptyDatabases:
    """Makes a database anew only where none can be emptied: to make and drop one takes five times as long."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._at_hand: list[str] = []
        self._content_of_new: tuple[str | None, ...] = ()

    @contextmanager
    def one(self) -> Iterator[FreshDatabase]:
        """Raises AssertionError where a block that ended well has left connections open, unless it says it may."""
        name = self._at_hand.pop() if self._at_hand else self._new()
        database = FreshDatabase(self._server, name, may_leave_backends=False)
        try:
            yield database
            left = [] if database.may_leave_backends else left_after_a_moment(database.activity)
        finally:
            self._take_back(name)
        assert not left, f"the test left connections open: {left}"

    def _take_back(self, name: str) -> None:
        """Empty it under another name, where nobody finds it who still tries to connect to it."""
        name, former = self._unused_name(), name
        ending = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{former}'"
        self._server.execute(
            f'{ending}; ALTER DATABASE "{former}" RESET ALL; ALTER DATABASE "{former}" RENAME TO "{name}"'
        )
        *_, content = self._server.query(_EMPTY + _CONTENT, name)
        if content == self._content_of_new:
            self._at_hand.append(name)
        else:
            self._server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _new(self) -> str:
        name = self._unused_name()
        # Takes less time than the default strategy: there is nothing to write to the WAL for safety.
        self._server.execute(f'CREATE DATABASE "{name}" STRATEGY = FILE_COPY')
        [self._content_of_new] = self._server.query(_CONTENT, name)
        return name

    def _unused_name(self) -> str:
        return f"test_{os.getpid()}_{next(self._numbers)}"
