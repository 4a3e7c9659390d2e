"""`Keeper`: a `Database` in a FastAPI app."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Literal

from fastapi import Depends, FastAPI
from starlette.routing import BaseRoute

from poolkeeper.database import Database
from poolkeeper.fastapi.dependencies import SessionDependencies
from poolkeeper.fastapi.health import Health, HealthPaths
from poolkeeper.fastapi.metrics import Metrics
from poolkeeper.fastapi.middleware import RequestScopeMiddleware
from poolkeeper.fastapi.page import Page
from poolkeeper.fastapi.problems import install_problems
from poolkeeper.fastapi.read_your_writes import ReadYourWrites, ReadYourWritesMiddleware, signed_for
from poolkeeper.fastapi.signals import on_sigterm
from poolkeeper.observe import loop_lag


class Keeper:
    """Sessions for endpoints, lifespan, health routes and error responses of one `Database`.

    `Annotated[AsyncSession, keeper.write]` commits before the response starts and rolls back on any exception;
    `keeper.read` refuses writes and takes one round trip; `keeper.sync_write` and `keeper.sync_read` give a `Session`
    to `def` endpoints. In tests, override `keeper.write.dependency`.

    `page` and `metrics` say where `install()` puts the page and, with prometheus_client installed, the metrics; None
    leaves the route out. The pool is in prometheus_client's registry all the same, for whatever else exports that. The
    page answers callers on the same machine only, unless there is a `page_dependency` (a callable as `Depends` takes
    it) that knows who may see it. With `read_your_writes` a client that wrote brings back, in a cookie or a header,
    what its reads from replicas have to show; it needs a `signing_key`, and raises `SettingsRefused` without one; where
    there are no replicas it does nothing. `shutdown_delay` is how many seconds after SIGTERM the server hears of it;
    readiness turns at once.
    """

    def __init__(
        self,
        database: Database,
        *,
        health: HealthPaths | None = None,
        page: str | None = "/poolkeeper",
        page_dependency: Callable[..., Any] | None = None,
        metrics: str | None = "/metrics",
        read_your_writes: ReadYourWrites | Literal["cookie", "header"] | None = None,
        shutdown_delay: float = 0.0,
    ) -> None:
        self.database = database
        self.health = Health(database)
        self._page = Page(database, dependency=page_dependency)
        of_replicas = () if database.router is None else (host.snapshot for host in database.router.hosts)
        self._metrics = Metrics(database.snapshot, *of_replicas)
        self._read_your_writes = self._carried(read_your_writes)
        self._page_path, self._metrics_path = page, metrics
        self._paths = health or HealthPaths()
        self._shutdown_delay = shutdown_delay
        self._installed = False
        dependencies = SessionDependencies(database)
        self._write: Any = Depends(dependencies.write, scope="function")
        self._read: Any = Depends(dependencies.read, scope="function")
        self._sync_write: Any = Depends(dependencies.sync_write, scope="function")
        self._sync_read: Any = Depends(dependencies.sync_read, scope="function")

    @property
    def write(self) -> Any:
        """The dependency that gives an `AsyncSession`."""
        self.database.expect("async")
        return self._write

    @property
    def read(self) -> Any:
        """The same for an `AsyncSession` that only reads."""
        self.database.expect("async")
        return self._read

    @property
    def sync_write(self) -> Any:
        """The dependency that gives a `Session`."""
        self.database.expect("sync")
        return self._sync_write

    @property
    def sync_read(self) -> Any:
        """The same for a `Session` that only reads."""
        self.database.expect("sync")
        return self._sync_read

    def install(self, app: FastAPI) -> None:
        """Add everything to the app: its own lifespan still runs, inside ours, and its own handlers win."""
        self._installed = True
        self.carry_positions(app)
        install_around(app, self.routes(app), self._running, self.shown)

    def carry_positions(self, app: FastAPI) -> None:
        """Let clients carry the positions of what they wrote, where that was asked for."""
        if self._read_your_writes is not None:
            app.add_middleware(ReadYourWritesMiddleware, **self._read_your_writes)

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncGenerator[None]:
        """`FastAPI(lifespan=keeper.lifespan)`: start and close the database, and nothing else.

        Health routes, error responses and the routes of holders come with `install()`; after it this does nothing.
        """
        if self._installed:
            yield
            return
        async with self._running():
            yield

    def _carried(self, how: ReadYourWrites | Literal["cookie", "header"] | None) -> dict[str, Any] | None:
        """The arguments of the middleware, if there is to be one."""
        router = self.database.router
        if how is None or router is None:
            return None
        chosen = how if isinstance(how, ReadYourWrites) else ReadYourWrites(how)
        max_lag = self.database.settings.max_lag
        return {"router": router, "how": chosen, "signed": signed_for(self.database), "max_lag": max_lag}

    def routes(self, app: FastAPI) -> list[BaseRoute]:
        """The routes of health, metrics and page."""
        page = [] if self._page_path is None else self._page.routes(self._page_path, app)
        return [*self.health.routes(self._paths), *self._metrics.routes(self._metrics_path), *page]

    @asynccontextmanager
    async def shown(self, app: FastAPI) -> AsyncGenerator[None]:
        """Have the pool in the metrics and on the page until the block ends."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._metrics.running(app))
            if self._page_path is not None:
                await stack.enter_async_context(self._page.running())
            yield

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[None]:
        with on_sigterm(self.database.begin_shutdown, self._shutdown_delay):
            await self.database.start()
            try:
                yield
            finally:
                await self.database.close()


def install_around(
    app: FastAPI,
    routes: list[BaseRoute],
    running: Callable[[], AbstractAsyncContextManager[None]],
    shown: Callable[[FastAPI], AbstractAsyncContextManager[None]],
) -> None:
    """Put these routes in front of the app's, and its lifespan inside what runs and is shown."""
    app.add_middleware(RequestScopeMiddleware)
    install_problems(app)
    # First, so that no catch-all route or mount of the app takes the probes' requests.
    app.router.routes[:0] = routes
    inner: Any = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[Any]:
        async with running(), shown(app), inner(app) as state:
            loop_lag.start_over()
            yield state

    app.router.lifespan_context = lifespan
