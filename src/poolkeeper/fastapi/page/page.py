"""The page: what the pool is doing and why, in a browser."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
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

Answer = Callable[[Request], Awaitable[Response]]
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
        answers = {name: answering(file, kind) for name, (file, kind) in _STATIC.items()}
        return guarded_routes(path, app, {**answers, "data": self._answer_data}, self._dependency)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Share what the page shows with the other workers until the block ends."""
        async with self._data.running():
            yield

    async def _answer_data(self, _request: Request) -> Response:
        return JSONResponse(await self._data.of_all())


def guarded_routes(
    path: str, app: FastAPI, answers: Mapping[str, Answer], dependency: Callable[..., Any] | DependsParameter | None
) -> list[BaseRoute]:
    """Routes that answer below `path`, to whom the dependency lets through, and without one to callers of this machine.

    Raises `ValueError` for a path that does not begin with a slash, or ends with one.
    """
    if not path.startswith("/") or path.endswith("/"):
        raise ValueError(f"the page's path is to begin with a slash and not to end with one: {path!r}")
    # A router and not an app: the app's exception handlers and dependency overrides hold for the dependency, too.
    router = APIRouter(
        dependencies=_as_dependencies(dependency),
        dependency_overrides_provider=app,
        default=_not_found,
        redirect_slashes=False,
    )
    for name, answer in answers.items():
        router.add_api_route(f"/{name}", answer, methods=["GET", "HEAD"], include_in_schema=False, response_model=None)
    guarded = Guard(router, local_only=dependency is None)
    # Relative: whatever is in front of the app may have cut off a prefix.
    slash = Guard(RedirectResponse(f"{PurePosixPath(path).name}/"), local_only=dependency is None)
    return [Route(path, slash, include_in_schema=False), Mount(path, guarded)]


def _as_dependencies(dependency: Callable[..., Any] | DependsParameter | None) -> list[DependsParameter]:
    if dependency is None:
        return []
    return [dependency if isinstance(dependency, DependsParameter) else Depends(dependency)]


def answering(file: str, kind: str) -> Answer:
    """What answers with a file of this folder."""
    content = files("poolkeeper.fastapi.page").joinpath(file).read_text(encoding="utf-8")

    async def answer(request: Request) -> Response:  # noqa: ARG001 - FastAPI finds out by the type
        return Response(content, media_type=kind)

    return answer


_not_found = PlainTextResponse("Not found.\n", 404)
