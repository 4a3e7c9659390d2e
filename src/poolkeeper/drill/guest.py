"""A server of others as the ground of a drill: nothing is done to it but what its own sessions may do to themselves.

The service's connections carry a name that no other run has, and only those are ever ended. Its tables have the same
name before theirs, and are dropped at the end.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn, TypeVar, cast

from sqlalchemy import NullPool, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from poolkeeper.drill.books import create_ledger
from poolkeeper.drill.ground import Spot
from poolkeeper.drill.place import Place, drop_tables, own_database
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stacks import APPLICATION_NAME, STACKS
from poolkeeper.settings import Dsn
from poolkeeper.testing import EmbeddedPostgres
from poolkeeper.testing.postgres.server import Row

T = TypeVar("T")

# Beside the largest pool of each worker: what replaces another, and our own look.
_SPARE = 5
_PORT = 5432
# Seconds in which an ended connection has to be gone.
_GONE = 5.0
# Certificates are made out to the server's name, which the proxy in between does not have.
_TLS = {"ssl", "sslmode"}
_CHECKED = {"verify-full", "verify-ca"}

_SIGHT = """
SELECT current_setting('server_version') AS version, current_database() AS database, pg_is_in_recovery() AS standby,
       pg_backend_pid() AS pid, coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
       (SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend') AS others,
       least(current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
               - coalesce(current_setting('reserved_connections', true)::int, 0)
               - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
             (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user)
               - (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user),
             (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
               - (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database())) AS free
"""
_THIS_ROLE = "datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"


class NotOurs(RuntimeError):  # noqa: N818 - says what happened, as errors.py does
    """Something was asked of a server of others that is only done to one of our own."""


class Refused(RuntimeError):  # noqa: N818 - says what happened, as errors.py does
    """A drill is not played on this server; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a server says of itself: `others` are clients' connections in this database, `free` could still be opened.

    `pooled` says that something between us and the server decides whose connection is whose.
    """

    version: str
    database: str
    standby: bool
    pooled: bool
    may_create: bool
    others: int
    free: int

    def refuse(self, needed: int) -> None:
        """Raises `Refused` where the drill could not play, or could not put everything back."""
        if self.standby:
            raise Refused("it is a standby and takes no tables; give the primary")
        if self.pooled:
            raise Refused(
                "a pooler stands before it, so connections of the drill cannot be told; give the server's own"
            )
        if not self.may_create:
            raise Refused("this role may not create tables; GRANT CREATE ON SCHEMA ... TO it, or give another role")
        if self.free < needed:
            raise Refused(f"it has {self.free} connections free for this role, and a drill takes up to {needed}")


class GuestServer:
    """What a drill may do on a server of others, by the names of `EmbeddedPostgres`. All else raises `NotOurs`.

    `name` is what the connections of the service are called: no other is seen or ended.
    """

    def __init__(self, url: str, name: str) -> None:
        parsed = make_url(url)
        self.host, self.port = parsed.host or "", parsed.port or _PORT
        self._url = url
        # poolkeeper adds host and process to the name.
        self._mine = f"{_THIS_ROLE} AND (application_name = '{name}' OR starts_with(application_name, '{name}/'))"

    def __getattr__(self, name: str) -> NoReturn:
        raise NotOurs(f"this server belongs to others, and a drill does not {name} there")

    def url(self, database: str | None = None) -> str:  # noqa: ARG002 - there is one
        return self._url

    def query(self, sql: str, database: str | None = None) -> list[Row]:  # noqa: ARG002
        """The rows of one statement, values as text."""

        async def rows(connection: AsyncConnection) -> list[Row]:
            found = await connection.exec_driver_sql(sql)
            read = found.all() if found.returns_rows else ()
            return [tuple(None if value is None else str(value) for value in row) for row in read]

        return _connected(self._url, rows)

    def execute(self, sql: str, database: str | None = None) -> None:
        self.query(sql, database)

    def activity(self, where: str = "true") -> list[Row]:
        return self.query(f"SELECT pid FROM pg_stat_activity WHERE {self._mine} AND ({where})")  # noqa: S608

    def terminate_backends(self, where: str = "true") -> int:
        """End connections of the service, wait until they are gone, and say how many there were.

        Raises `Refused` when one is still there after 5 s.
        """
        # Materialized, so that no backend is terminated before its row was looked at.
        chosen = f"SELECT pid FROM pg_stat_activity WHERE {self._mine} AND ({where})"  # noqa: S608
        ended = self.query(f"WITH c AS MATERIALIZED ({chosen}) SELECT pid FROM c WHERE pg_terminate_backend(pid)")  # noqa: S608
        pids = ", ".join(str(pid) for (pid,) in ended)
        deadline = time.monotonic() + _GONE
        while pids and self.activity(f"pid IN ({pids})"):
            if time.monotonic() > deadline:
                raise Refused(f"a connection that was ended is still there after {_GONE:g} s")
        return len(ended)


class GuestGround:
    """A corner of a server of others."""

    def __init__(self, place: Place, sight: Sight) -> None:
        self._place, self.sight = place, sight
        self.prefix = place.prefix
        self._name = place.prefix.rstrip("_")
        self._server = GuestServer(place.url, self._name)
        self._numbers = itertools.count(1)

    @property
    def server(self) -> EmbeddedPostgres:
        """As far as scenarios use it that are not `intrusive`; see `GuestServer`."""
        return cast("EmbeddedPostgres", self._server)

    @property
    def version(self) -> str:
        return self.sight.version

    @contextmanager
    def spot(self) -> Generator[Spot]:
        """Tables of our own; at the end they are dropped, after every connection that is left of the run."""
        folder = self._place.folder / str(next(self._numbers))
        folder.mkdir()
        names = {APPLICATION_NAME: self._name, "DATABASE_SERVICE": self._name}
        try:
            self._server.execute(create_ledger(self.prefix))
            yield Spot(self.sight.database, folder, self.prefix, {**self._place.environment, **names})
        finally:
            # Whoever is in a transaction would keep the tables.
            self._server.terminate_backends()
            drop_tables(self._place.url, self.prefix)

    def rehearse(self) -> None:
        """Make a table and drop it, end a connection of our own. Raises `Refused` where that cannot be done."""

        async def stand_by(connection: AsyncConnection) -> int:
            await connection.exec_driver_sql(f"SET application_name = '{self._name}'")
            return await asyncio.to_thread(self._server.terminate_backends)

        with self.spot():
            if (ended := _connected(self._place.url, stand_by)) != 1:
                raise Refused(f"of one connection of the drill's own, {ended} could be found and ended")


def connections_of(scenarios: Iterable[Scenario]) -> int:
    """The most that a run of these scenarios opens at once."""
    largest = max(stack.connections for stack in STACKS.values())
    return largest * max((scenario.workers for scenario in scenarios), default=1) + _SPARE


def look_at(url: str, needed: int) -> Sight:
    """What a server of others says, of which so many connections are needed; nothing is done to it.

    Raises `Refused` where it is none to play on, `DsnInvalid` for a text that is no URL, and what the driver raises
    where nothing answers.
    """
    sight = _connected(_for_the_stacks(url), _look)
    sight.refuse(needed)
    return sight


@contextmanager
def guest_ground(url: str, needed: int) -> Generator[GuestGround]:
    """A corner of a server of others, of which nothing is left at the end.

    Looks first, and tries on a table and a connection of our own what a drill has to be able to do. Raises what
    `look_at` raises.
    """
    through, sight = _for_the_stacks(url), look_at(url, needed)
    with own_database(through) as place:
        ground = GuestGround(place, sight)
        ground.rehearse()
        yield ground


def _for_the_stacks(url: str) -> str:
    """With the driver of the stock stacks. Raises `Refused` and `DsnInvalid`."""
    dsn = Dsn(url)
    if dsn.dialect not in {"postgresql", "postgres"}:
        raise Refused(f"a drill needs PostgreSQL, and this is {dsn.dialect}")
    parsed = make_url(dsn.secret)
    if parsed.host is None or parsed.host.startswith("/") or "host" in parsed.query:
        raise Refused("the URL has to name one host over TCP, before which a proxy can stand")
    if others := sorted(parsed.query.keys() - _TLS):
        raise Refused(f"of the URL's options only sslmode is passed on; leave out {', '.join(others)}")
    wanted = parsed.query.get("ssl") or parsed.query.get("sslmode")
    if wanted in _CHECKED:
        raise Refused(
            f"ssl={wanted} cannot be met through the drill's proxy, whose name no certificate has; use require"
        )
    query = {} if wanted is None else {"ssl": wanted}
    return parsed.set(drivername="postgresql+asyncpg", query=query).render_as_string(hide_password=False)


async def _look(connection: AsyncConnection) -> Sight:
    row = (await connection.exec_driver_sql(_SIGHT)).one()
    raw = (await connection.get_raw_connection()).driver_connection
    # A pooler answers for itself when a connection asks which process serves it.
    pooled = raw is None or raw.get_server_pid() != row.pid
    return Sight(row.version, row.database, row.standby, pooled, row.may_create, row.others, row.free)


def _connected(url: str, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    async def run() -> T:
        engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        try:
            async with engine.connect() as connection:
                return await work(connection)
        finally:
            await engine.dispose()

    return asyncio.run(run())
