"""The page: what the pool is doing and why, in a browser."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.params import Depends as DependsParameter
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from poolkeeper.database import Database
from poolkeeper.fastapi.page.access import Guard
from poolkeeper.fastapi.page.data import PageData
from poolkeeper.observe.workers import WorkerFiles

_STATIC = {
    "": ("index.html", "text/html"),
    "page.js": ("page.js", "text/javascript"),
    "page.css": ("page.css", "text/css"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}


class Page:
    """The page of one `Database`: `routes()` for an app, and `running()` around its life.

    Without a `dependency` only callers on the same machine see it. With one (a callable as FastAPI's `Depends` takes
    it, or `Security(...)`), whoever it lets through does: it runs before every answer, and refuses by raising
    `HTTPException`. It should not need a database connection, or the page cannot be seen when there is none.

    A proxy on the same machine that adds no header of its own cannot be told from a local caller: behind such a one,
    give a dependency, or leave the page out.
    """

    def __init__(
        self,
        database: Database,
        *,
        dependency: Callable[..., Any] | DependsParameter | None = None,
    ) -> None:
        self._dependency = dependency
        self._data = PageData(database, WorkerFiles(f"{database.name} {database.settings.url}"))

    def routes(self, path: str, app: FastAPI) -> list[BaseRoute]:
        """What to put in front of the app's routes. None of it is in the app's schema."""
        if not path.startswith("/") or path.endswith("/"):
            raise ValueError(f"the page's path is to begin with a slash and not to end with one: {path!r}")
        guarded = Guard(self._router(app), local_only=self._dependency is None)
        # Relative: whatever is in front of the app may have cut off a prefix.
        to_page = RedirectResponse(f"{PurePosixPath(path).name}/")
        slash = Guard(to_page, local_only=self._dependency is None)
        return [Route(path, slash, include_in_schema=False), Mount(path, guarded)]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Share what the page shows with the other workers until the block ends."""
        async with self._data.running():
            yield

    def _router(self, app: FastAPI) -> APIRouter:
        # A router and not an app: the app's exception handlers and dependency overrides hold for the dependency, too.
        router = APIRouter(
            dependencies=_as_dependencies(self._dependency),
            dependency_overrides_provider=app,
            default=_not_found,
            redirect_slashes=False,
        )
        for name, (file, kind) in _STATIC.items():
            _add(router, name, _answering(file, kind))
        _add(router, "data", self._answer_data)
        return router

    async def _answer_data(self, _request: Request) -> Response:
        return JSONResponse(await self._data.of_all())


def _as_dependencies(dependency: Callable[..., Any] | DependsParameter | None) -> list[DependsParameter]:
    if dependency is None:
        return []
    return [dependency if isinstance(dependency, DependsParameter) else Depends(dependency)]


def _add(router: APIRouter, name: str, endpoint: Callable[[Request], Awaitable[Response]]) -> None:
    router.add_api_route(f"/{name}", endpoint, methods=["GET", "HEAD"], include_in_schema=False, response_model=None)


def _answering(file: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = files("poolkeeper.fastapi.page").joinpath(file).read_text(encoding="utf-8")

    async def answer(request: Request) -> Response:  # noqa: ARG001 - FastAPI finds out by the type
        return Response(content, media_type=kind)

    return answer


_not_found = PlainTextResponse("Not found.\n", 404)
