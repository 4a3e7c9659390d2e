"""The health routes: is the process alive, should it get traffic, does the database answer."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exc
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from poolkeeper.database import Database, State
from poolkeeper.errors import ConnectFailed, ConnectFailure
from poolkeeper.fastapi.page.access import not_local
from poolkeeper.fastapi.problems import problem_of
from poolkeeper.model import Finding, PoolSnapshot, ReplicaView

_PUBLIC = ("name", "capacity", "in_use", "idle", "waiting", "connecting", "checking", "opened", "closed")
_PUBLIC_OF_REPLICA = ("name", "standing", "lag", "lag_bytes", "weight", "sessions", "conflicts", "moved")
# A database that was down is asked again at most this often (seconds), however many probes arrive.
_ASK_AGAIN_AFTER = 1.0


@dataclass(frozen=True, slots=True)
class HealthPaths:
    """Where the health routes live; None leaves one out."""

    live: str | None = "/health/live"
    ready: str | None = "/health/ready"
    db: str | None = "/health/db"


class Health:
    """Answers the three questions for one database. No answer holds a DSN, a host or an SQL parameter."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asking = asyncio.Lock()
        self._asked = 0.0

    def routes(self, paths: HealthPaths) -> list[Route]:
        answers = ((paths.live, self.live), (paths.ready, self.ready), (paths.db, self.db))
        return [Route(path, answer, include_in_schema=False) for path, answer in answers if path is not None]

    async def live(self, _request: Request) -> JSONResponse:
        """200 as long as the event loop turns. Restarting a process does not mend its database."""
        return JSONResponse({"status": "alive"})

    async def ready(self, _request: Request) -> JSONResponse:
        """Whether to send traffic here, from what is known: a database that is well is not asked, and never woken.

        Only while the latest attempt to connect has failed is the database asked, over a connection of its own,
        because without traffic nobody else would notice that it is back.
        """
        reason = await self.why_unready()
        if reason is not None:
            return unavailable({"status": "unready", "reason": reason})
        return JSONResponse({"status": "ready"})

    async def why_unready(self) -> str | None:
        """The reason to send no traffic here, None where there is none."""
        return self._unready() or await self._unreachable()

    async def db(self, request: Request) -> JSONResponse:
        """Ask the database now. `pid` tells the workers of a service apart, whose pools are their own.

        Everybody learns the causes of trouble by name; only a caller on this machine gets what was seen, which names
        routes and lines of code.
        """
        body = await self.asked(request)
        return JSONResponse(body) if body["status"] == "ok" else unavailable(body)

    async def asked(self, request: Request) -> dict[str, Any]:
        """The body of that answer."""
        numbers: dict[str, Any] = {"pid": os.getpid(), "pool": _numbers(self._database.snapshot())}
        findings = self._database.explaining.findings()
        in_full = not_local(request.scope) is None
        if self._database.router is not None:
            numbers["replicas"] = [_replica(replica) for replica in self._database.replicas]
        numbers["findings"] = [finding.as_dict() if in_full else _named(finding) for finding in findings]
        try:
            latency = await self._database.ping()
        except (exc.SQLAlchemyError, TimeoutError, OSError) as error:
            return {"status": "unhealthy", "reason": reason_of(error), **numbers}
        return {"status": "ok", "latency_ms": round(latency * 1000, 3), **numbers}

    def _unready(self) -> str | None:
        match self._database.state:
            case State.NEW:
                return "starting"
            case State.DRAINING | State.CLOSED:
                return "draining"
            case State.READY:
                return "pool-saturated" if self._database.snapshot().saturated else None

    async def _unreachable(self) -> str | None:
        connectivity = self._database.connectivity
        async with self._asking:
            if connectivity.failure is not None and time.monotonic() - self._asked >= _ASK_AGAIN_AFTER:
                self._asked = time.monotonic()
                await self._ask()
        failure = connectivity.failure
        return None if failure is None or self._is_full_of_ours(failure) else reason_of(failure)

    def _is_full_of_ours(self, failure: ConnectFailed) -> bool:
        """A server without room for one more connection is no reason to stop using those that are open."""
        pool = self._database.snapshot()
        return failure.reason is ConnectFailure.TOO_MANY_CONNECTIONS and pool.idle + pool.in_use > 0

    async def _ask(self) -> None:
        try:
            await self._database.probe()
        except (exc.SQLAlchemyError, TimeoutError):
            return  # the engine has reported how the attempt ended


def reason_of(error: BaseException) -> str:
    """The kind of trouble, in the words of the error responses."""
    problem = problem_of(error)
    if problem is not None:
        return problem.kind
    return "timeout" if isinstance(error, TimeoutError) else "database-error"


def _numbers(pool: PoolSnapshot) -> dict[str, object]:
    numbers = pool.as_dict()
    return {name: numbers[name] for name in _PUBLIC}


def _replica(replica: ReplicaView) -> dict[str, object]:
    """Why a host was not reached names it, so it is left to the findings."""
    told = {name: getattr(replica, name) for name in _PUBLIC_OF_REPLICA}
    return {**told, "pool": _numbers(replica.pool)}


def _named(finding: Finding) -> dict[str, object]:
    return {"code": finding.code, "severity": finding.severity, "confidence": finding.confidence}


def unavailable(body: dict[str, Any]) -> JSONResponse:
    """A 503."""
    return JSONResponse(body, status_code=503)
