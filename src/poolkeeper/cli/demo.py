"""`poolkeeper demo`: the reference service under a steady load on a real database, to look at."""

from __future__ import annotations

import asyncio
import json
import platform
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from poolkeeper.cli.demo_screen import Screen, Status, screen_for
from poolkeeper.drill import (
    HttpClient,
    Load,
    LoadResult,
    OrdersTraffic,
    Place,
    PoolTotals,
    PoolWatch,
    Service,
    ServiceFailed,
    embedded_postgres,
    own_database,
    sqlite_file,
    steady,
)
from poolkeeper.errors import ConnectFailed
from poolkeeper.settings import DsnInvalid, SettingsRefused
from poolkeeper.settings.masking import MASK, masked_text
from poolkeeper.testing import EmbeddedPostgresError

_SHOWN_SECONDS = 3
# Peaks are what a look a second misses; each look costs the service a SELECT 1 per worker.
_LOOK_EVERY = 0.2
_POOL_SIZE = 20
_SPARE_CONNECTIONS = 20
_PACKAGES = "poolkeeper", "sqlalchemy", "fastapi", "uvicorn", "asyncpg", "psycopg", "aiosqlite"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run has shown. `money_kept` is None when the service did not tell."""

    load: LoadResult
    pool: PoolTotals | None
    peak_in_use: int
    peak_waiting: int
    money_kept: bool | None

    @property
    def good(self) -> bool:
        return self.load.errors == 0 and self.money_kept is True


class Interruption:
    """Ctrl-C, SIGTERM and SIGHUP end the run in good order, once: nothing interrupts the clearing up.

    While something starts, the first one waits for the next `checkpoint`, because whoever is interrupted half-way may
    leave a file or a process behind. A second one does not wait.
    """

    SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP

    def __init__(self) -> None:
        self._wanted = False
        self._stop: Callable[[], object] | None = None
        for number in self.SIGNALS:
            signal.signal(number, self._handle)

    def checkpoint(self) -> None:
        """Raises KeyboardInterrupt when the end was asked for."""
        if self._wanted:
            self.is_over()
            raise KeyboardInterrupt

    def calls(self, stop: Callable[[], object]) -> None:
        """From now on `stop` ends what is running."""
        self._stop = stop
        if self._wanted:
            self.is_over()
            stop()

    def is_over(self) -> None:
        """The end has begun. Ignored for good, because Python resets its own handlers before a process is gone."""
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        if self._stop is not None:
            self.is_over()
            self._stop()
        else:
            self.checkpoint()
            self._wanted = True


def demo(
    seconds: Annotated[float | None, typer.Option("--for", min=1, help="Stop after this many seconds.")] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=5000, help="Requests per second.")] = 60,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Processes of the service.")] = 1,
    url: Annotated[str | None, typer.Option(help="Run on this database, in tables that are dropped again.")] = None,
    sqlite: Annotated[
        bool, typer.Option("--sqlite", help="Run on a SQLite file, where no PostgreSQL can run.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", dir_okay=False, help="Write the figures here.")] = None,
) -> None:
    """Run the reference service under a steady load on a real PostgreSQL of its own, until Ctrl-C."""
    if url is not None and sqlite:
        raise typer.BadParameter("--url and --sqlite exclude each other")
    if json_file is not None and not json_file.resolve().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {json_file.resolve().parent}", param_hint="--json")
    interruption = Interruption()
    try:
        place = _place(url, sqlite, workers)
        outcome, where = _run(place, seconds, rate, workers, interruption)
    except KeyboardInterrupt:
        typer.echo("stopped before the load began")
        raise typer.Exit(0) from None
    except (DsnInvalid, SettingsRefused) as refused:
        typer.echo(f"error: --url: {_masked(str(refused), url)}", err=True)
        raise typer.Exit(2) from None
    except (ServiceFailed, EmbeddedPostgresError, SQLAlchemyError, OSError) as failure:
        _explain(failure, url)
        raise typer.Exit(1) from None
    _report(outcome, where)
    if json_file is not None:
        json_file.write_text(json.dumps(_figures(outcome, where, rate), indent=2) + "\n", encoding="utf-8")
    raise typer.Exit(0 if outcome.good else 1)


def _place(url: str | None, sqlite: bool, workers: int) -> AbstractContextManager[Place]:
    if url is not None:
        return own_database(url)
    if sqlite:
        return sqlite_file()
    typer.echo("starting PostgreSQL ...")
    return embedded_postgres(max_connections=workers * _POOL_SIZE + _SPARE_CONNECTIONS)


def _run(
    database: AbstractContextManager[Place],
    seconds: float | None,
    rate: float,
    workers: int,
    interruption: Interruption,
) -> tuple[Outcome, Place]:
    with database as place:
        interruption.checkpoint()
        typer.echo(f"database   {place.kind} {place.version}, {place.shown}")
        if place.prefix:
            typer.echo(f"tables     {place.prefix}*, made now and dropped at the end; no other table is touched")
        with Service(place.url, place.folder, workers=workers, environment=place.environment) as service:
            interruption.checkpoint()
            typer.echo(f"service    {service.address}")
            typer.echo(f"docs       {service.address}/docs")
            load = Load(service.address, OrdersTraffic(), steady(rate, seconds))
            with screen_for(seconds) as screen:
                outcome = asyncio.run(_under_load(load, service, screen, interruption))
            interruption.is_over()
            if not service.running:
                raise ServiceFailed("the service ended during the load", service.log(30))
        return outcome, place


async def _under_load(load: Load, service: Service, screen: Screen, interruption: Interruption) -> Outcome:
    loop = asyncio.get_running_loop()
    interruption.calls(lambda: loop.call_soon_threadsafe(load.stop))
    watch = PoolWatch(service.address, service.workers)
    before = await _money(service.address)
    running = asyncio.create_task(load.run())
    pool: PoolTotals | None = None
    shown = 0
    while not running.done():
        await asyncio.wait({running}, timeout=min(1.0, _LOOK_EVERY * service.workers))
        pool = await watch.look() or pool
        if int(load.elapsed) > shown:
            shown = int(load.elapsed)
            screen.show(_status(load, pool))
        if not service.running:
            load.stop()
    after = await _money(service.address)
    kept = None if before is None or after is None else before == after
    return Outcome(await running, pool, watch.peak_in_use, watch.peak_waiting, kept)


def _status(load: Load, pool: PoolTotals | None) -> Status:
    recorder, elapsed = load.recorder, load.elapsed
    latest = recorder.latest(elapsed, _SHOWN_SECONDS)
    return Status(
        elapsed=elapsed,
        requests_per_second=latest.count / max(1, min(_SHOWN_SECONDS, int(elapsed))),
        p50_ms=latest.quantile(0.5) * 1000,
        p99_ms=latest.quantile(0.99) * 1000,
        pool=pool,
        errors=recorder.errors,
    )


async def _money(address: str) -> int | None:
    """All the money that the shop's books know of, which no request may change."""
    parts = urlsplit(address)
    try:
        async with asyncio.timeout(5), HttpClient(parts.hostname or "", parts.port or 80) as client:
            response = await client.request("GET", "/audit")
            return int(json.loads(response.body)["money"])
    except (OSError, TimeoutError, ValueError, LookupError):
        return None


def _report(outcome: Outcome, place: Place) -> None:
    load = outcome.load
    errors = ", ".join(f"{count} x {kind}" for kind, count in load.by_error.items()) or "none"
    books = {True: "money constant", False: "MONEY WAS LOST OR MADE", None: "the service did not tell"}
    capacity = outcome.pool.capacity if outcome.pool else None
    typer.echo(f"requests   {load.requests} in {load.seconds:.1f} s on {place.kind} {place.version}")
    typer.echo(f"latency    p50 {load.p50_ms:.1f} ms, p99 {load.p99_ms:.1f} ms, max {load.max_ms:.1f} ms")
    typer.echo(
        f"pool       at most {outcome.peak_in_use} in use, {outcome.peak_waiting} waiting, of {capacity} (sampled)"
    )
    typer.echo(f"books      {books[outcome.money_kept]}")
    typer.echo(f"errors     {errors}")


def _figures(outcome: Outcome, place: Place, rate: float) -> dict[str, Any]:
    pool = outcome.pool.as_dict() if outcome.pool else {}
    peaks = {"peak_in_use": outcome.peak_in_use, "peak_waiting": outcome.peak_waiting}
    return {
        **outcome.load.as_dict(),
        "rate": rate,
        "pool": pool | peaks,
        "money_kept": outcome.money_kept,
        "database": {"kind": place.kind, "version": place.version, "driver": make_url(place.url).get_driver_name()},
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _explain(failure: Exception, url: str | None) -> None:
    what = str(failure)
    if isinstance(failure, ConnectFailed):
        what = f"could not connect to {failure.where}: {failure.reason} ({failure.orig})"
    typer.echo(f"error: {_masked(what, url)}", err=True)
    if isinstance(failure, ServiceFailed) and failure.log:
        typer.echo(f"the last lines of its log:\n{_masked(failure.log, url)}", err=True)


def _masked(text: str, url: str | None) -> str:
    """`text` without any password, and surely without that of `url`, wherever a driver may have put it."""
    try:
        password = make_url(url).password if url else None
    except SQLAlchemyError:
        password = None
    return masked_text(text.replace(str(password), MASK) if password else text)
