"""The sampler looks past the pool, in time, and never at its caller's cost."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import psutil
import pytest
from sqlalchemy import text
from tests.database.stores import BLOCKING, MARIADB, POSTGRESQL, Store
from tests.server.sessions import Connect, with_user
from tests.servers import FreshDatabase, PgBouncer, left_after_a_moment

from poolkeeper import Database
from poolkeeper.model import PoolerFacts
from poolkeeper.server import Sampler, console_of
from poolkeeper.settings.effective import Kind
from poolkeeper.testing import EmbeddedPostgres, FaultProxy

pytestmark = pytest.mark.anyio
# psycopg serves asyncio and threads.
_FACES = [(kind, "async") for kind in (*POSTGRESQL, *MARIADB)] + [(kind, "sync") for kind in BLOCKING]


def _faces(*first: tuple[object, Kind]) -> pytest.MarkDecorator:
    """Every driver in every way to use it; in the default run only these."""
    each = [
        pytest.param(*face, id=f"{face[0]}-{face[1]}", marks=() if face in first else pytest.mark.slow)
        for face in _FACES
    ]
    return pytest.mark.parametrize(("store", "face"), each, indirect=["store"])


everywhere = _faces((POSTGRESQL[0], "async"), (MARIADB[0], "async"), (BLOCKING[0], "sync"))


def sampler_for(database: Database, **options: Any) -> Sampler:
    return Sampler(database._engines.unpooled, **options)


def sampler_at(url: str, face: Kind = "async", **options: Any) -> Sampler:
    database = Database(url, min_idle=0)
    database.expect(face)
    return sampler_for(database, **options)


def proxy_for(store: Store) -> FaultProxy:
    server = store.server.server
    return FaultProxy(getattr(server, "host", "127.0.0.1"), server.port)


async def nothing_runs() -> None:
    """Wait until what looked has ended, and what it has started; the test itself runs in anyio's TestRunner."""
    async with asyncio.timeout(5):
        while others := [task for task in asyncio.all_tasks() if "TestRunner" not in str(task.get_coro())]:
            await asyncio.wait(others)


@everywhere
async def test_it_sees_who_has_the_pools_last_connection(store: Store, face: Kind) -> None:
    database = store.make(pool_size=1, max_overflow=0)
    database.expect(face)
    sampler = sampler_for(database, fresh_for=0)
    # InnoDB renews its list of transactions every 0.1 s.
    await asyncio.sleep(0.15 if store.kind.place == "mariadb" else 0)
    if face == "async":
        async with database.session() as session:
            await session.execute(text("SELECT count(*) FROM note"))
            facts = await sampler.look()
    else:
        with database.sync_session() as blocking:
            blocking.execute(text("SELECT count(*) FROM note"))
            facts = await sampler.look()
    await database.close()
    assert facts is not None
    assert sampler.problem is None
    ours = [session for session in facts.sessions if session.database == store.server.name]
    assert [session.in_transaction for session in ours] == [True]
    assert left_after_a_moment(store.connections) == []


async def test_a_look_for_threads_needs_none_of_the_common_ones(fresh_database: FreshDatabase) -> None:
    from anyio import to_thread

    limiter = to_thread.current_default_thread_limiter()
    limiter.total_tokens, before = 1, limiter.total_tokens
    try:
        async with limiter:
            assert await sampler_at(fresh_database.url("psycopg"), "sync").look() is not None
    finally:
        limiter.total_tokens = before


async def test_callers_at_the_same_time_share_one_look(fresh_database: FreshDatabase) -> None:
    with FaultProxy(fresh_database.server.host, fresh_database.server.port) as proxy:
        sampler = sampler_at(proxy.url(fresh_database.url("asyncpg")))
        found = await asyncio.gather(*(sampler.look() for _ in range(20)))
        assert proxy.counters.accepted == 1
        assert found[0] is not None
        assert all(facts is found[0] for facts in found)


async def test_what_was_found_is_given_again_while_it_is_fresh(fresh_database: FreshDatabase) -> None:
    url = fresh_database.url("asyncpg")
    fresh, stale = sampler_at(url, fresh_for=60), sampler_at(url, fresh_for=0)
    assert await fresh.look() is await fresh.look()
    assert await stale.look() is not await stale.look()


async def test_a_failure_is_remembered_as_long(fresh_database: FreshDatabase) -> None:
    with FaultProxy(fresh_database.server.host, fresh_database.server.port) as proxy:
        sampler = sampler_at(proxy.url(fresh_database.url("asyncpg")), fresh_for=0.3)
        proxy.refuse()
        assert await sampler.look() is None
        assert sampler.problem is not None
        assert sampler.problem.startswith("could not connect (refused)")
        proxy.heal()
        assert await sampler.look() is None
        await asyncio.sleep(0.3)
        assert await sampler.look() is not None
        assert sampler.problem is None


@everywhere
@pytest.mark.parametrize("silent", [pytest.param("from-the-start", marks=pytest.mark.slow), "later"])
async def test_a_silent_server_ends_a_look_in_time(store: Store, face: Kind, silent: str) -> None:
    store.server.may_leave_backends = True
    with proxy_for(store) as proxy:
        database = Database(proxy.url(store.url), min_idle=0, connect_timeout=1, command_timeout=None)
        database.expect(face)
        sampler = sampler_for(database, timeout=0.4, fresh_for=0)
        if silent == "from-the-start":
            proxy.drop()
        else:
            assert await sampler.look() is not None, sampler.problem
            asyncio.get_running_loop().call_later(0.1, proxy.drop)
            # Every answer takes a while, so that it falls silent on the way.
            proxy.latency = 0.03
        async with asyncio.timeout(3):
            assert await sampler.look() is None
        assert sampler.problem == "no answer within 0.4 s"
        assert sampler.unanswered
        async with asyncio.timeout(3):
            await nothing_runs()
        proxy.heal()
        proxy.latency = 0
        assert await sampler.look() is not None, sampler.problem


def connections_to(port: int) -> list[object]:
    """The sockets of this process that are connected to a port."""
    # psycopg closes a half-open connection by forgetting it.
    gc.collect()
    found = psutil.Process().net_connections("tcp")
    return [each for each in found if each.raddr and each.raddr.port == port and each.status == "ESTABLISHED"]


@pytest.mark.slow
@everywhere
async def test_a_server_that_falls_silent_at_any_point_keeps_nobody(store: Store, face: Kind) -> None:
    """The first look also asks who the server is. Without any timeout but the sampler's own, nothing of it may last."""
    store.server.may_leave_backends = True
    for answers in range(0, 16, 2):
        with proxy_for(store) as proxy:
            database = Database(proxy.url(store.url), min_idle=0, connect_timeout=0.5, command_timeout=None)
            database.expect(face)
            sampler = sampler_for(database, timeout=0.2)
            proxy.latency = 0.005
            asyncio.get_running_loop().call_later(0.01 * answers, proxy.drop)
            await sampler.look()
            await nothing_runs()
            assert left_after_a_moment(partial(connections_to, proxy.port), looks=200) == []


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_where_all_ordinary_slots_are_taken_it_says_so(
    small_server: EmbeddedPostgres, connect: Connect, driver: str
) -> None:
    for _ in range(5):
        connect(with_user(small_server.url("psycopg"), "app"))
    sampler = sampler_at(with_user(small_server.url(driver), "app"))
    assert await sampler.look() is None
    assert sampler.problem is not None
    assert sampler.problem.startswith("could not connect (too many connections): ")
    assert "remaining connection slots are reserved" in sampler.problem
    # Its own limit is that of the others; with privileges it still gets in.
    privileged = await sampler_at(small_server.url(driver)).look()
    assert privileged is not None
    assert privileged.ordinary.is_reached


async def test_a_problem_tells_no_password(fresh_database: FreshDatabase) -> None:
    sampler = sampler_at(with_user(fresh_database.url("asyncpg"), "nobody", "hush-hush"))
    assert await sampler.look() is None
    assert sampler.problem is not None
    assert "nobody" in sampler.problem
    assert "hush" not in sampler.problem


async def test_a_factory_that_fails_is_a_problem_and_no_error() -> None:
    def broken() -> Any:
        raise RuntimeError("no engine today")

    sampler = Sampler(broken)
    assert await sampler.look() is None
    assert sampler.problem == "no engine today"


async def test_a_database_without_a_server_has_no_sessions() -> None:
    sampler = sampler_at("sqlite+aiosqlite://")
    assert await sampler.look() is None
    assert sampler.problem == "sqlite has no sessions to look at"


def test_it_works_on_one_event_loop_after_the_other(fresh_database: FreshDatabase) -> None:
    sampler = sampler_at(fresh_database.url("asyncpg"), fresh_for=0)
    for _ in range(2):
        assert asyncio.run(sampler.look()) is not None


@_faces((POSTGRESQL[0], "async"))
async def test_cancelled_at_any_point_it_leaves_nothing(store: Store, face: Kind) -> None:
    """The waits of a look: for the look itself, for the connect and its first questions, for each of its statements,
    for the rollback, for the close. With a slow network the caller is cancelled in each of them."""
    with proxy_for(store) as proxy:
        sampler = sampler_at(proxy.url(store.url), face, fresh_for=0, timeout=20)
        assert await sampler.look() is not None
        proxy.latency = 0.004
        ended, after = False, 0.0
        while not ended:
            looking = asyncio.create_task(sampler.look())
            await asyncio.wait({looking}, timeout=after)
            ended = looking.done()
            looking.cancel()
            await asyncio.wait({looking}, timeout=5)
            assert looking.done()
            assert ended or looking.cancelled()
            await nothing_runs()
            after += 0.007
        proxy.latency = 0
        assert left_after_a_moment(store.connections) == []
        assert await sampler.look() is not None


async def test_a_cancelled_caller_takes_nothing_from_the_others(fresh_database: FreshDatabase) -> None:
    with FaultProxy(fresh_database.server.host, fresh_database.server.port) as proxy:
        sampler = sampler_at(proxy.url(fresh_database.url("asyncpg")))
        proxy.latency = 0.01
        first, second = (asyncio.create_task(sampler.look()) for _ in range(2))
        await asyncio.sleep(0.05)
        first.cancel()
        assert await second is not None
        assert first.cancelled()
        assert proxy.counters.accepted == 1


MakePooler = Callable[..., PgBouncer]


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_the_poolers_queue_is_seen_while_it_lets_nobody_through(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str
) -> None:
    fresh_database.may_leave_backends = True
    pooler = pgbouncer("transaction", default_pool_size=1)
    console = pooler.url("psycopg", "pgbouncer")
    url = pooler.url(driver, fresh_database.name)
    sampler = sampler_for(
        Database(url, provider="pgbouncer-transaction", min_idle=0), console=console, timeout=0.5, fresh_for=0
    )
    # No client has asked for this database yet.
    facts = await sampler.look()
    assert facts is not None
    assert facts.pooler is None
    facts = await sampler.look()
    assert facts is not None
    assert sampler.problem is None
    # Its own session is not in the queue that it sees.
    assert facts.pooler == PoolerFacts(waiting=0, longest_wait=0.0, active=0, pool_size=1)
    database = Database(url, provider="pgbouncer-transaction", min_idle=0)
    async with database.session() as session:
        await session.execute(text("SELECT 1"))
        waits = asyncio.create_task(Database(url, provider="pgbouncer-transaction", min_idle=0).probe(5))
        await asyncio.sleep(0.2)
        facts = await sampler.look()
    assert await waits > 0
    await database.close()
    assert facts is not None
    assert facts.pooler is not None
    assert (facts.pooler.waiting, facts.pooler.active) == (1, 1)
    assert facts.pooler.longest_wait > 0.1
    assert (facts.kind, facts.version, facts.sessions) == ("postgresql", "", ())
    assert sampler.problem == "no answer within 0.5 s"
    await nothing_runs()


async def test_a_console_that_refuses_takes_nothing_from_the_rest(
    fresh_database: FreshDatabase, pgbouncer: MakePooler
) -> None:
    fresh_database.may_leave_backends = True
    pooler = pgbouncer("transaction")
    console = with_user(pooler.url("psycopg", "pgbouncer"), "stranger", "hush-hush")
    sampler = sampler_for(
        Database(pooler.url("asyncpg", fresh_database.name), provider="pgbouncer-transaction", min_idle=0),
        console=console,
    )
    facts = await sampler.look()
    assert facts is not None
    assert facts.pooler is None
    assert sampler.problem is not None
    assert sampler.problem.startswith("PgBouncer's console")
    assert "hush" not in sampler.problem


async def test_a_silent_console_takes_no_longer_than_the_rest(
    fresh_database: FreshDatabase, pgbouncer: MakePooler
) -> None:
    fresh_database.may_leave_backends = True
    pooler = pgbouncer("transaction")
    with FaultProxy("127.0.0.1", pooler.port) as proxy:
        proxy.accept_and_hang()
        url = Database(pooler.url("asyncpg", fresh_database.name), provider="pgbouncer-transaction", min_idle=0)
        sampler = sampler_for(url, console=proxy.url(pooler.url("psycopg", "pgbouncer")), timeout=0.5)
        async with asyncio.timeout(2):
            facts = await sampler.look()
    assert facts is not None
    assert facts.pooler is None
    assert sampler.problem == "PgBouncer's console (timeout): no answer within 0.5 s"
    assert not sampler.unanswered


async def test_without_psycopg_the_console_says_what_it_needs(
    fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    sampler = sampler_at(fresh_database.url("asyncpg"), console="postgresql://stats@127.0.0.1:1/pgbouncer")
    assert await sampler.look() is not None
    assert sampler.problem == "PgBouncer's console: psycopg is needed to read it: pip install 'psycopg[binary]'"


def test_the_console_is_at_the_same_address_and_takes_no_options_of_another_driver() -> None:
    url = "postgresql+asyncpg://me:word@pooler:6432/shop?prepared_statement_cache_size=0"
    assert console_of(url) == "postgresql+asyncpg://me:word@pooler:6432/pgbouncer"
    assert console_of("postgresql+asyncpg:///shop?host=/run/pgbouncer") is None
