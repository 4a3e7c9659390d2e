"""The health routes of a service with several databases: one answer, that names each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from poolkeeper.fastapi.health import Health, HealthPaths, unavailable


class HealthOfSeveral:
    """Puts the answers for several databases together; `needed` are those without which the app gets no traffic."""

    def __init__(self, healths: Mapping[str, Health], needed: Collection[str]) -> None:
        self._healths, self._needed = healths, needed

    def routes(self, paths: HealthPaths) -> list[Route]:
        """Those for all of them, and below `paths.db` one for each."""
        answers = [(paths.ready, self.ready), (paths.db, self.db)]
        first = next(iter(self._healths.values()))
        answers.append((paths.live, first.live))
        if paths.db is not None:
            answers += [(f"{paths.db}/{name}", health.db) for name, health in self._healths.items()]
        return [Route(path, answer, include_in_schema=False) for path, answer in answers if path is not None]

    async def ready(self, _request: Request) -> JSONResponse:
        """Whether to send traffic here: not while a needed database is unready, or, with none needed, while all are."""
        reasons = await asyncio.gather(*(health.why_unready() for health in self._healths.values()))
        unready = {name: reason for name, reason in zip(self._healths, reasons, strict=True) if reason is not None}
        databases = {name: unready.get(name, "ready") for name in self._healths}
        if any(name in unready for name in self._needed) or len(unready) == len(self._healths):
            return unavailable({"status": "unready", "databases": databases})
        return JSONResponse({"status": "ready", "databases": databases})

    async def db(self, request: Request) -> JSONResponse:
        """Ask all of them now; a 503 where one is unhealthy."""
        bodies = await asyncio.gather(*(health.asked(request) for health in self._healths.values()))
        databases = dict(zip(self._healths, bodies, strict=True))
        if any(body["status"] != "ok" for body in bodies):
            return unavailable({"status": "unhealthy", "databases": databases})
        return JSONResponse({"status": "ok", "databases": databases})
