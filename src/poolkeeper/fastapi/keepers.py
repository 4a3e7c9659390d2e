"""`Keepers`: several databases in one FastAPI app."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, Literal

from fastapi import FastAPI
from starlette.routing import BaseRoute

from poolkeeper.database import Databases
from poolkeeper.fastapi.health import HealthPaths
from poolkeeper.fastapi.health_of_several import HealthOfSeveral
from poolkeeper.fastapi.keeper import Keeper, install_around
from poolkeeper.fastapi.page import Overview
from poolkeeper.fastapi.read_your_writes import ReadYourWrites
from poolkeeper.fastapi.signals import on_sigterm

_NO_ROUTES = HealthPaths(live=None, ready=None, db=None)
_IN_A_PATH = re.compile(r"[A-Za-z0-9_-]+")


class Keepers(Mapping[str, Keeper]):
    """A `Keeper` for each of several databases, by name, in one app: `keepers["orders"].write`.

    They start and close together, all at the same time. One health answer names each of them, and `/health/db/orders`
    is that of one; `needed` are the names of those without which the app should get no traffic. With none named, it
    gets some as long as one of them is ready: the others' requests are answered with a 503 meanwhile. The page has a
    section for each, and below it, at `/poolkeeper/orders`, the page of that one.

    The other arguments are those of `Keeper`. With `read_your_writes`, the name of each cookie or header ends with that
    of its database. Raises `ValueError` for a name that is unknown, or cannot be part of a path.
    """

    def __init__(
        self,
        databases: Databases,
        *,
        needed: Collection[str] = (),
        health: HealthPaths | None = None,
        page: str | None = "/poolkeeper",
        page_dependency: Callable[..., Any] | None = None,
        metrics: str | None = "/metrics",
        read_your_writes: ReadYourWrites | Literal["cookie", "header"] | None = None,
        shutdown_delay: float = 0.0,
    ) -> None:
        _refuse_names(databases, needed)
        self.databases = databases
        self._paths = health or HealthPaths()
        self._page_path, self._overview = page, Overview(databases, dependency=page_dependency)
        self._shutdown_delay = shutdown_delay
        first = next(iter(databases))
        self._keepers = {
            name: Keeper(
                database,
                health=_NO_ROUTES,
                page=None if page is None else f"{page}/{name}",
                page_dependency=page_dependency,
                # One answer has the pools of all.
                metrics=metrics if name == first else None,
                read_your_writes=_of_one(read_your_writes, name),
            )
            for name, database in databases.items()
        }
        self._health = HealthOfSeveral({name: keeper.health for name, keeper in self._keepers.items()}, needed)

    def __getitem__(self, name: str) -> Keeper:
        _ = self.databases[name]
        return self._keepers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keepers)

    def __len__(self) -> int:
        return len(self._keepers)

    def install(self, app: FastAPI) -> None:
        """Add everything to the app, as `Keeper.install` does; do not install the single ones."""
        for keeper in self.values():
            keeper.carry_positions(app)
        install_around(app, self._routes(app), self._running, self._shown)

    def _routes(self, app: FastAPI) -> list[BaseRoute]:
        of_each = [route for keeper in self.values() for route in keeper.routes(app)]
        # Behind those of the single pages, which are below it.
        overview = [] if self._page_path is None else self._overview.routes(self._page_path, app)
        return [*self._health.routes(self._paths), *of_each, *overview]

    @asynccontextmanager
    async def _shown(self, app: FastAPI) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for keeper in self.values():
                await stack.enter_async_context(keeper.shown(app))
            yield

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[None]:
        with on_sigterm(self.databases.begin_shutdown, self._shutdown_delay):
            async with self.databases:
                yield


def _refuse_names(databases: Databases, needed: Collection[str]) -> None:
    if not databases:
        raise ValueError("Keepers needs at least one database")
    for name in databases:
        if not _IN_A_PATH.fullmatch(name):
            raise ValueError(f"{name!r} is to be part of paths: name a database with letters, digits, - and _ only")
    unknown = [needed] if isinstance(needed, str) else [name for name in needed if name not in databases]
    if unknown:
        known = ", ".join(databases)
        raise ValueError(f"needed is a list of names of databases, which are {known}; {unknown[0]!r} is none")


def _of_one(
    how: ReadYourWrites | Literal["cookie", "header"] | None, name: str
) -> ReadYourWrites | Literal["cookie", "header"] | None:
    if how is None:
        return None
    chosen = how if isinstance(how, ReadYourWrites) else ReadYourWrites(how)
    return replace(chosen, name=f"{chosen.name}-{name}")
