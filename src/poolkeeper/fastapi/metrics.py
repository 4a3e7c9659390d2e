"""The route that Prometheus scrapes."""

from __future__ import annotations

import asyncio
import gzip
import importlib.util
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from poolkeeper.observe.metrics import Source

if TYPE_CHECKING:
    from collections.abc import Generator

    from prometheus_client import CollectorRegistry
    from prometheus_client.registry import Collector

log = logging.getLogger("poolkeeper")


class Metrics:
    """Pools for Prometheus: `routes()` for an app, and `running()` around its life.

    The answer has everything in `registry`, which is prometheus_client's own unless given: what the app counts itself,
    too. It names pools, reasons and states, and neither a DSN nor SQL. Whoever reaches the path may read it, as is the
    custom; a proxy closes it, and with a path of None there is no route, only the registry. With
    PROMETHEUS_MULTIPROC_DIR set, one answer is that of all workers, and `registry` is not used.

    Without prometheus_client (extra `prometheus`) there is no route.
    """

    def __init__(self, *sources: Source, registry: CollectorRegistry | None = None) -> None:
        self._sources = sources
        self._given = registry
        self._ours: list[Route] = []

    def routes(self, path: str | None = "/metrics") -> Sequence[Route]:
        """What to put in front of the app's routes. It is not in the app's schema."""
        if path is not None and is_installed():
            self._ours = [Route(path, self._answer, include_in_schema=False)]
        return self._ours

    @asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncGenerator[None]:
        """Export the pools until the block ends. A route of the app's own with the same path wins over ours."""
        if not is_installed():
            yield
            return
        self._give_way(app)
        with self._exported():
            yield

    @contextmanager
    def _exported(self) -> Generator[None]:
        from poolkeeper.observe.prometheus import pool_metrics, shared_folder

        if (folder := shared_folder()) is not None:
            from poolkeeper.observe.prometheus_files import shared_metrics

            shared = shared_metrics(folder)
            shared.start(*self._sources)
            try:
                yield
            finally:
                shared.stop(*self._sources)
            return
        collector = pool_metrics(self._registry())
        collector.add(*self._sources)
        try:
            yield
        finally:
            collector.remove(*self._sources)

    def _give_way(self, app: FastAPI) -> None:
        for ours in self._ours:
            others = [route for route in app.router.routes if not _is_ours(route)]
            if ours in app.router.routes and any(_is_made_for(route, ours.path) for route in others):
                app.router.routes.remove(ours)
                log.info("%s is a route of the app, and stays it; the pools are in the registry", ours.path)

    async def _answer(self, request: Request) -> Response:
        from prometheus_client.exposition import choose_encoder, gzip_accepted

        from poolkeeper.observe.prometheus import shared_folder

        encode, content_type = choose_encoder(",".join(request.headers.getlist("accept")))
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        names = request.query_params.getlist("name[]")
        if (folder := shared_folder()) is not None:
            from poolkeeper.observe.prometheus_files import shared_metrics

            shared = shared_metrics(folder)
            shared.sweep()
            shared.refresh()
            # Files of all workers are read and added up.
            body = await asyncio.to_thread(encode, _restricted(shared.registry, names))
        else:
            body = encode(_restricted(self._registry(), names))
        if gzip_accepted(request.headers.get("accept-encoding", "")):
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, compresslevel=5)
        return Response(body, headers=headers)

    def _registry(self) -> CollectorRegistry:
        from prometheus_client import REGISTRY

        return REGISTRY if self._given is None else self._given


def is_installed() -> bool:
    """Whether there is a prometheus_client."""
    return importlib.util.find_spec("prometheus_client") is not None


def _restricted(registry: CollectorRegistry, names: Sequence[str]) -> Collector:
    return registry.restricted_registry(names) if names else registry


def _is_ours(route: BaseRoute) -> bool:
    return isinstance(route, Route) and isinstance(getattr(route.endpoint, "__self__", None), Metrics)


def _is_made_for(route: BaseRoute, path: str) -> bool:
    """Whether a route is there for this path, and not one that takes whatever is left."""
    return any(_takes(route, each) for each in (path, f"{path}/")) and not _takes(route, f"{path}.other")


def _takes(route: BaseRoute, path: str) -> bool:
    scope: Scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": [], "query_string": b""}
    match, _ = route.matches(scope)
    return match is Match.FULL
