"""A pooler that the settings do not name, or take for another, is found by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import text
from tests.servers import FreshDatabase, PgBouncer

from poolkeeper import ConnectFailed, ConnectFailure, Database
from poolkeeper.model import Finding, Severity

MakePooler = Callable[..., PgBouncer]
pytestmark = pytest.mark.anyio
drivers = pytest.mark.parametrize("driver", ["asyncpg", pytest.param("psycopg", marks=pytest.mark.slow)])
IGNORED = "statement_timeout,options"


def of_pooler(database: Database) -> list[Finding]:
    return [finding for finding in database.findings if finding.code.startswith("pooler")]


async def found(database: Database, said: str) -> Finding:
    """The only finding about the pooler, once it says so."""
    for _ in range(500):
        if any(said in finding.seen for finding in of_pooler(database)):
            break
        await asyncio.sleep(0.02)
    (finding,) = of_pooler(database)
    return finding


async def nothing_found(database: Database) -> None:
    for _ in range(500):
        if not of_pooler(database):
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"still there: {of_pooler(database)}")


@pytest.mark.parametrize(
    ("mode", "severity", "fix"),
    [
        ("transaction", Severity.ERROR, "Set provider to pgbouncer-transaction"),
        ("session", Severity.WARNING, "Set provider to pgbouncer-session"),
    ],
)
@drivers
async def test_a_pooler_that_nobody_named_is_found_by_the_first_connection_and_its_mode_soon(
    fresh_database: FreshDatabase,
    pgbouncer: MakePooler,
    driver: str,
    mode: str,
    severity: Severity,
    fix: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fresh_database.may_leave_backends = True
    pooler = pgbouncer(mode, default_pool_size=5, ignore_startup_parameters=IGNORED)
    # One in a thousand of its numbers looks like that of a process.
    async with Database(pooler.url(driver, fresh_database.name), min_idle=3, pool_size=5) as database:
        await database.ping()
        first, *_ = of_pooler(database)
        assert "it ignores the statement_timeout of 30 s" in first.seen
        finding = await found(database, f"in {mode} mode:")
    assert (finding.code, finding.severity) == ("pooler-not-named", severity)
    assert "it ignores the statement_timeout of 30 s" in finding.seen
    assert finding.fix.startswith(fix)
    # When it was met, and when its mode was known.
    assert caplog.text.count("pooler-not-named") == 2
    assert not fresh_database.query("SELECT name FROM pg_prepared_statements")


@pytest.mark.parametrize(
    ("mode", "provider", "severity"),
    [
        ("session", "pgbouncer", Severity.WARNING),
        ("session", "pgbouncer-transaction", Severity.WARNING),
        ("transaction", "pgbouncer-session", Severity.ERROR),
        pytest.param("statement", "pgbouncer", Severity.ERROR, marks=pytest.mark.slow),
        pytest.param("statement", "pgbouncer-session", Severity.ERROR, marks=pytest.mark.slow),
    ],
)
@drivers
async def test_a_pooler_in_another_mode_than_the_settings_are_made_for(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str, mode: str, provider: str, severity: Severity
) -> None:
    fresh_database.may_leave_backends = True
    url = pgbouncer(mode).url(driver, fresh_database.name)
    async with Database(url, provider=provider, pool_size=5, min_idle=0) as database:
        finding = await found(database, f"in {mode} mode, not in")
    assert (finding.code, finding.severity) == ("pooler-mode-differs", severity)


@pytest.mark.parametrize("size", [1, 2])
@drivers
async def test_where_the_settings_fit_the_mode_nothing_is_left_to_say(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str, size: int
) -> None:
    fresh_database.may_leave_backends = True
    url = pgbouncer(default_pool_size=size, server_round_robin=1).url(driver, fresh_database.name)
    async with Database(url, provider="pgbouncer", min_idle=0) as database:
        assert [finding.code for finding in database.settings.findings] == ["pooler-mode-unknown"]
        await nothing_found(database)


async def test_a_mode_that_cannot_be_told_costs_nobody_his_place(
    fresh_database: FreshDatabase, pgbouncer: MakePooler
) -> None:
    fresh_database.may_leave_backends = True
    pooler = pgbouncer("session", default_pool_size=1)
    url = pooler.url("asyncpg", fresh_database.name)
    async with Database(url, provider="pgbouncer-transaction", min_idle=0, pool_size=5) as database:
        async with asyncio.timeout(20), database.session() as session:
            # The look has come first, or gets nothing now: one client keeps the only server connection.
            await session.execute(text("SELECT 1"))
        assert not of_pooler(database)


@drivers
async def test_a_pooler_that_refuses_what_it_is_sent_is_found_by_that(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str
) -> None:
    url = pgbouncer().url(driver, fresh_database.name)
    async with Database(url, min_idle=0) as database:
        with pytest.raises(ConnectFailed, match="unsupported startup parameter") as refused:
            await database.ping()
        assert refused.value.reason is ConnectFailure.OTHER
        assert [finding.code for finding in database.findings if finding.subject == "provider"] == [
            "pooler-refuses-parameter"
        ]


@drivers
async def test_no_pooler_is_found_where_there_is_none(fresh_database: FreshDatabase, driver: str) -> None:
    async with Database(fresh_database.url(driver), pool_size=5) as database:
        await database.ping()
        assert not [finding for finding in database.findings if finding.code.startswith("pooler")]
