"""Build engines from effective settings."""

from __future__ import annotations

import math
import os
import socket
from typing import Any

from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, Pool, StaticPool

from poolkeeper.drivers import ConnectOptions, Driver, driver_for
from poolkeeper.engine.commands import Commands
from poolkeeper.engine.commits import refuse_lost_commits
from poolkeeper.engine.connects import ConnectObserver, classify_connects
from poolkeeper.engine.deadlines import LoopTimers, Timers, thread_timers
from poolkeeper.engine.destination import Destination
from poolkeeper.engine.lost_answers import tell_lost_answers
from poolkeeper.engine.passwords import Passwords
from poolkeeper.model import ClientName
from poolkeeper.pool import GatedPool, KeeperPool, Measured, MeasuredQueuePool, guard
from poolkeeper.settings import EffectiveSettings

_OF_KEEPER_POOL = (
    "min_idle",
    "max_idle",
    "overflow_linger",
    "max_waiting",
    "client_timeout",
    "ping_after",
    "ping_timeout",
    "keepalive",
    "connects_at_once",
    "connect_grace",
    "recycle_jitter",
)


def build_async_engine(
    settings: EffectiveSettings,
    observer: ConnectObserver,
    *,
    pooled: bool = True,
    pool_name: str | None = None,
    destination: Destination | None = None,
    passwords: Passwords | None = None,
) -> tuple[AsyncEngine, Commands]:
    """An `AsyncEngine` with the bounds, timeouts and guards that the settings ask for.

    Nothing is connected yet; `observer` hears how each attempt to connect ends, and `destination` may lead connections
    to another host than the URL's. `passwords` win over the URL's, and errors call the pool by `pool_name`. Raises
    `SettingsRefused` for a driver that is not an asyncio one.
    """
    settings.require("async")
    url = make_url(settings.url.secret)
    driver = driver_for(url, is_async=True)
    pool = KeeperPool if pooled else NullPool
    engine = create_async_engine(url, **_engine_arguments(settings, driver, pool, pool_name))
    return engine, _protect(engine.sync_engine, settings, driver, LoopTimers(), observer, destination, passwords)


def build_sync_engine(
    settings: EffectiveSettings,
    observer: ConnectObserver,
    *,
    pooled: bool = True,
    pool_name: str | None = None,
    destination: Destination | None = None,
    passwords: Passwords | None = None,
) -> tuple[Engine, Commands]:
    """The same for threads: an `Engine` on psycopg, PyMySQL or sqlite3."""
    settings.require("sync")
    url = make_url(settings.url.secret)
    driver = driver_for(url, is_async=False)
    pool = MeasuredQueuePool if pooled else NullPool
    engine = create_engine(url, **_engine_arguments(settings, driver, pool, pool_name))
    if isinstance(engine.pool, MeasuredQueuePool):
        ping_after = settings.ping_after if settings.pool_pre_ping else math.inf
        timeout, jitter = settings.ping_timeout, settings.recycle_jitter
        guard(engine, ping_after=ping_after, ping_timeout=timeout, recycle_jitter=jitter)
    return engine, _protect(engine, settings, driver, thread_timers, observer, destination, passwords)


def connect_options(settings: EffectiveSettings) -> ConnectOptions:
    """What the driver is told about each connection."""
    return ConnectOptions(
        application_name=_application_name(settings),
        connect_timeout=settings.connect_timeout,
        statement_timeout=settings.statement_timeout,
        tcp_keepalive=settings.tcp_keepalive,
        prepared_statements=settings.pooler != "transaction",
        startup_parameters=settings.pooler == "none",
        driver_arguments=settings.connect_args,
    )


def _application_name(settings: EffectiveSettings) -> str:
    """Who this is, as the server's process list shows it: service/host/process."""
    return str(ClientName(settings.service or "poolkeeper", socket.gethostname(), os.getpid()))


def _engine_arguments(
    settings: EffectiveSettings, driver: Driver, pool: type[Pool], pool_name: str | None
) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "connect_args": driver.connect_args(connect_options(settings)),
        "echo": settings.echo,
        "echo_pool": settings.echo_pool,
        "pool_logging_name": pool_name,
        "hide_parameters": settings.hide_parameters,
    }
    kind: type[Pool] = settings.engine_options.get("poolclass") or _kind(settings, pool)  # type: ignore[assignment]
    # The user's own pool class is for the pool; what looks past the pool must keep no connection.
    if pool is NullPool and settings.pool != "static":
        kind = NullPool
    return arguments | _pool_arguments(settings, kind) | dict(settings.engine_options) | {"poolclass": kind}


def _kind(settings: EffectiveSettings, pool: type[Pool]) -> type[Pool]:
    if settings.pool == "static":
        # An in-memory SQLite database lives exactly as long as its connection.
        return StaticPool
    return GatedPool if settings.pool == "null" and pool is not NullPool else pool


def _pool_arguments(settings: EffectiveSettings, kind: type[Pool]) -> dict[str, Any]:
    if issubclass(kind, GatedPool):
        bounds = {"pool_size": settings.pool_size, "max_overflow": settings.max_overflow}
        return bounds | {"pool_timeout": settings.pool_timeout}
    if settings.pool != "queue" or kind is NullPool:
        return {}
    arguments: dict[str, Any] = {
        "pool_size": settings.pool_size,
        "max_overflow": settings.max_overflow,
        "pool_timeout": settings.pool_timeout,
        "pool_recycle": settings.pool_recycle,
        "pool_pre_ping": settings.pool_pre_ping,
        "pool_use_lifo": settings.pool_use_lifo,
    }
    if issubclass(kind, KeeperPool):
        arguments |= {name: getattr(settings, name) for name in _OF_KEEPER_POOL}
    if issubclass(kind, MeasuredQueuePool):
        # The guard asks where it has to.
        arguments["pool_pre_ping"] = False
    return arguments


def _protect(
    engine: Engine,
    settings: EffectiveSettings,
    driver: Driver,
    timers: Timers,
    observer: ConnectObserver,
    destination: Destination | None,
    passwords: Passwords | None,
) -> Commands:
    driver.attach(engine, connect_options(settings))
    if passwords is not None:
        passwords.fill_in(engine.dialect)
    if destination is not None:
        destination.lead(engine, waits=isinstance(engine.pool, Measured))
    classify_connects(engine.dialect, str(settings.url), observer)
    refuse_lost_commits(engine)
    commands = Commands(driver, timers, settings.command_timeout, ping_timeout=settings.ping_timeout)
    commands.watch(engine)
    tell_lost_answers(engine, driver)
    return commands
