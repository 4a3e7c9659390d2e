"""A pooler restarts, or the server behind it, under load: everything goes on, and nothing is done twice."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator

import pytest
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.servers import PgBouncer, left_after_a_moment

from poolkeeper import CommitUnknown, Database
from poolkeeper.drivers import retry_reason
from poolkeeper.fastapi.problems import problem_of
from poolkeeper.model import RetryReason
from poolkeeper.testing import EmbeddedPostgres

pytestmark = pytest.mark.anyio
ACCOUNTS = 10
TABLES = f"""
DROP TABLE IF EXISTS account, transfer;
CREATE TABLE account AS SELECT n AS id, 100 AS balance FROM generate_series(1, {ACCOUNTS}) n;
CREATE TABLE transfer (number int PRIMARY KEY);
"""
MOVE = text("UPDATE account SET balance = balance + :change WHERE id = :id")
NOTE = text("INSERT INTO transfer VALUES (:number)")
NOTED = text("SELECT count(*) FROM transfer WHERE number = :number")
SUM = text("SELECT sum(balance) FROM account")
# What clients may be told meanwhile.
KINDS = {"connection-lost", "commit-unknown", "pooler-without-server", "connect-refused", "connect-network"}


@pytest.fixture(scope="module")
def bank_server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres() as server:
        yield server


async def transfer(session: AsyncSession, number: int) -> None:
    # Always in the same order, or they would deadlock.
    lower, higher = sorted(random.sample(range(1, ACCOUNTS + 1), 2))
    await session.execute(MOVE, {"id": lower, "change": -1})
    await session.execute(MOVE, {"id": higher, "change": 1})
    await session.execute(NOTE, {"number": number})


async def was_noted(session: AsyncSession, number: int) -> bool:
    return bool(await session.scalar(NOTED, {"number": number}))


class Load:
    """Transfers and reads without a pause, and what became of each."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers = itertools.count()
        self._work = database.transactional(attempts=100, deadline=60, applied=was_noted)(transfer)
        self._callers = {"session": self.in_session, "run": self.in_run, "read": self.read}
        self.served = dict.fromkeys(self._callers, 0)
        self.applied, self.failed, self.unknown = set[int](), set[int](), set[int]()
        self.kinds = set[str | None]()
        self.done = False

    async def in_session(self) -> None:
        number = next(self._numbers)
        try:
            async with self._database.session() as session:
                await transfer(session, number)
        except CommitUnknown:
            self.unknown.add(number)
            raise
        except Exception:
            self.failed.add(number)
            raise
        self.applied.add(number)

    async def in_run(self) -> None:
        number = next(self._numbers)
        try:
            await self._work(number)
        except Exception as error:
            raise AssertionError(f"transfer {number} was given up") from error
        self.applied.add(number)

    async def read(self) -> None:
        async with self._database.read_session() as session:
            assert await session.scalar(SUM) == 100 * ACCOUNTS

    async def caller(self, kind: str) -> None:
        while not self.done:
            try:
                await self._callers[kind]()
                self.served[kind] += 1
            except AssertionError:
                raise
            except Exception as error:
                problem = problem_of(error)
                self.kinds.add(None if problem is None else problem.kind)
                await asyncio.sleep(0.005)

    async def over(self, restart: Callable[[], Awaitable[None]]) -> None:
        """Go on until everybody was served before and after the restart."""
        async with asyncio.TaskGroup() as group:
            for kind in [*self._callers] * 3:
                group.create_task(self.caller(kind))
            await self._everybody_is_served()
            await restart()
            await self._everybody_is_served()
            self.done = True

    async def _everybody_is_served(self) -> None:
        before = dict(self.served)
        for _ in range(1500):
            if all(self.served[kind] >= count + 10 for kind, count in before.items()):
                return
            await asyncio.sleep(0.02)
        pytest.fail(f"not everybody is served any more: {before}, then {self.served}; {self.kinds}")


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("what", ["server fast", "server immediate", "pooler"])
async def test_each_transfer_is_applied_once_over_a_restart(
    bank_server: EmbeddedPostgres, pgbouncer: Callable[..., PgBouncer], driver: str, mode: str, what: str
) -> None:
    server = bank_server
    server.execute(TABLES)
    # Seconds: so long PgBouncer does not ask a server again that was away.
    sizes = {"transaction": 3, "session": 12}
    pooler = pgbouncer(mode, server=server, default_pool_size=sizes[mode], server_login_retry=0.3)

    async def restart() -> None:
        if what == "pooler":
            await asyncio.to_thread(pooler.stop)
            await asyncio.to_thread(pooler.start)
        else:
            await asyncio.to_thread(server.restart, what.split()[1])

    url = pooler.url(driver, "postgres")
    async with Database(url, provider=f"pgbouncer-{mode}", pool_size=6, retry_budget=0.9) as database:
        load = Load(database)
        await load.over(restart)
        snapshot = database.snapshot()
        assert (snapshot.in_use, snapshot.waiting) == (0, 0)
        assert snapshot.retries is not None
        # Somebody has noticed it.
        assert load.kinds or snapshot.retries.retried
    assert load.kinds <= KINDS
    assert not left_after_a_moment(lambda: server.activity("state <> 'idle'"))
    rows = {int(number or 0) for (number,) in server.query("SELECT number FROM transfer")}
    assert load.applied <= rows
    # COMMIT was under way when the connection broke: both is possible, and was told as that.
    assert rows - load.applied <= load.unknown
    assert not rows & load.failed
    assert server.query("SELECT sum(balance) FROM account") == [(str(100 * ACCOUNTS),)]


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_server_that_is_away_behind_the_pooler_is_told_as_that(
    bank_server: EmbeddedPostgres, pgbouncer: Callable[..., PgBouncer], driver: str
) -> None:
    pooler = pgbouncer(server=bank_server, server_login_retry=1)
    url = pooler.url(driver, "postgres")
    async with Database(url, provider="pgbouncer-transaction", min_idle=0, command_timeout=0.5) as database:
        await database.ping()
        await asyncio.to_thread(bank_server.stop)
        try:
            told = [await told_of(database) for _ in range(3)]
        finally:
            await asyncio.to_thread(bank_server.start)
        # Who comes first waits in the pooler, which has not noticed yet; the others are refused.
        assert told[-1] == ("pooler-without-server", RetryReason.UNREACHABLE)

        assert await database.transactional(attempts=100, deadline=30)(one)() == 1


async def one(session: AsyncSession) -> int:
    return int(await session.scalar(text("SELECT 1")) or 0)


async def told_of(database: Database) -> tuple[str | None, RetryReason | None]:
    """What a client is told of a session that fails, and whether another attempt makes sense."""
    with pytest.raises(exc.DBAPIError) as failed:
        async with database.session() as session:
            await session.execute(text("SELECT 1"))
    problem = problem_of(failed.value)
    return None if problem is None else problem.kind, retry_reason(failed.value)
