"""A primary with two streaming replicas, and databases on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from poolkeeper import Database
from poolkeeper.testing import EmbeddedPostgres
from poolkeeper.testing.postgres.replica import Replica

HOST = text("SELECT current_setting('port')::int")
INSERT = text("INSERT INTO note (body) VALUES ('')")
COUNT = text("SELECT count(*) FROM note")


@dataclass
class Cluster:
    primary: EmbeddedPostgres
    one: Replica
    two: Replica

    @property
    def replicas(self) -> tuple[Replica, Replica]:
        return self.one, self.two

    def database(self, driver: str = "asyncpg", **settings: Any) -> Database:
        """Small pools; `replica-1` is `one`."""
        given = {"pool_size": 5, "min_idle": 1, "replicas": [each.url(driver) for each in self.replicas], **settings}
        return Database(self.primary.url(driver), **given)

    def catch_up(self) -> None:
        for replica in self.replicas:
            replica.catch_up()

    def has_replayed_all(self, replica: Replica) -> bool:
        """Whether the replica shows all that the primary has written until now."""
        [(written,)] = self.primary.query("SELECT pg_current_wal_flush_lsn()")
        return replica.query(f"SELECT pg_last_wal_replay_lsn() >= '{written}'") == [("t",)]

    def mend(self) -> None:
        for replica in self.replicas:
            replica.start()
            replica.resume_replay()


@contextmanager
def own_cluster() -> Iterator[Cluster]:
    """A new one: nobody makes a promoted replica follow again."""
    with EmbeddedPostgres() as primary:
        primary.execute("CREATE TABLE note (id serial PRIMARY KEY, body text NOT NULL)")
        yield Cluster(primary, primary.add_replica(), primary.add_replica())


def demote(server: EmbeddedPostgres | Replica) -> None:
    """It goes on answering, and takes no writes."""
    server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    server.execute("SELECT pg_reload_conf()")


def befall(server: EmbeddedPostgres, what: str) -> None:
    """It is killed, stopped, demoted, or restarted as a standby that follows nobody."""
    match what:
        case "kill":
            server.kill()
        case "demote":
            demote(server)
        case _:
            server.stop()
            if what == "standby":
                server.launcher.new_file(server.data / "standby.signal", "")
                server.start()


async def host_of(session: AsyncSession) -> int:
    """The port of the server that answers."""
    return int(await session.scalar(HOST))


def sync_host_of(session: Session) -> int:
    return int(session.scalar(HOST) or 0)


def states(database: Database) -> dict[str, str]:
    """Each replica's standing."""
    return {replica.name: str(replica.standing) for replica in database.replicas}
