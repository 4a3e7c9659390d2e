"""Why a database's pool is slow or empty: from its last minutes, and from what the server says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from poolkeeper.diagnosis import explain, in_full, in_short
from poolkeeper.model import Finding, PoolSnapshot, ReplicaView, Report, ServerFacts
from poolkeeper.observe import History, Ticker
from poolkeeper.server import Sampler, Unpooled, console_of
from poolkeeper.settings import EffectiveSettings

# While something is wrong the server is looked at this often (seconds), so that an error can tell what it said.
_LOOK_EVERY = 5.0
# What the server said so long ago is no evidence for what happens now.
_STALE_AFTER = 10.0
# Those whose console may be asked; a hosted pooler has none for its users.
_WITH_CONSOLE = frozenset({"pgbouncer", "pgbouncer-transaction", "pgbouncer-session"})


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a pool does, why, and what the server says.

    `problem` tells why the server could not be looked at, and `unanswered` that it left the look without an answer.
    """

    snapshot: PoolSnapshot
    findings: tuple[Finding, ...]
    facts: ServerFacts | None = None
    problem: str | None = None
    unanswered: bool = False

    def __str__(self) -> str:
        return in_full(self.snapshot, self.findings)

    def as_dict(self) -> dict[str, object]:
        """The explanation as plain values, for JSON."""
        return {
            "pool": self.snapshot.as_dict(),
            "findings": [finding.as_dict() for finding in self.findings],
            "server": None if self.facts is None else self.facts.as_dict(),
            "problem": self.problem,
        }


def sampler_for(settings: EffectiveSettings, unpooled: Callable[[], Unpooled]) -> Sampler | None:
    """Looks at the server of this database, and at PgBouncer's queue where that is the provider; None for SQLite."""
    if settings.url.dialect == "sqlite":
        return None
    asks = settings.provider.name in _WITH_CONSOLE
    return Sampler(unpooled, console=console_of(settings.url.secret) if asks else None)


class Explaining:
    """Keeps the last minutes of a pool (`history`), and finds causes in them.

    While callers wait for a full pool, or connects fail, the server is looked at now and then, over a connection that
    is not the pool's; without `unasked`, only by `explain()`. `sampler` is None for a database that has no server.
    `replicas` gives those that it has.
    """

    def __init__(
        self,
        snapshot: Callable[[], PoolSnapshot],
        sampler: Sampler | None,
        replicas: Callable[[], tuple[ReplicaView, ...]] = tuple,
        *,
        unasked: bool = True,
    ) -> None:
        self.history = History()
        self._snapshot, self._sampler, self._replicas = snapshot, sampler, replicas
        self._unasked = unasked
        self._ticker = Ticker(self._tick, self.history.every)
        self._looking: asyncio.Task[None] | None = None
        self._looked = 0.0
        self._facts: ServerFacts | None = None
        self._unanswered_at: float | None = None

    def start(self) -> None:
        """Begin to keep the last minutes, on the running event loop."""
        self._ticker.start()

    async def stop(self) -> None:
        """End that, and a look at the server that is under way."""
        self._ticker.stop()
        looking, self._looking = self._looking, None
        if looking is not None and not looking.done():
            looking.cancel()
            await asyncio.wait({looking})

    def findings(self) -> tuple[Finding, ...]:
        """The causes, from what is known without asking anybody."""
        return self._explained(self._snapshot())[1]

    def report(self) -> Report:
        """For the error of a caller who got no connection. Its moment is kept: trouble may be over at the next look."""
        snapshot, findings = self._explained(self._snapshot())
        self.history.add(snapshot)
        return Report(in_short(findings), in_full(snapshot, findings))

    async def explain(self) -> Explanation:
        """The causes, with a look at the server, which takes a few seconds at most."""
        if self._sampler is None:
            return Explanation(*self._explained(self._snapshot()))
        sampler = self._sampler
        await self._look(sampler)
        return Explanation(*self._explained(self._snapshot()), self._facts, sampler.problem, sampler.unanswered)

    def _explained(self, now: PoolSnapshot) -> tuple[PoolSnapshot, tuple[Finding, ...]]:
        facts = self._facts if self._facts is not None and _is_fresh(self._facts.at) else None
        unanswered = self._unanswered_at is not None and _is_fresh(self._unanswered_at)
        return now, explain((*self.history.window(), now), facts, self._replicas(), unanswered=unanswered)

    def _tick(self) -> None:
        now = self._snapshot()
        self.history.add(now)
        in_trouble = now.saturated or now.connect_trouble is not None
        may_look = self._unasked and now.at - self._looked >= _LOOK_EVERY
        if in_trouble and may_look and self._sampler is not None:
            self._looked = now.at
            self._looking = asyncio.get_running_loop().create_task(self._look(self._sampler), name="poolkeeper-look")

    async def _look(self, sampler: Sampler) -> None:
        self._facts = await sampler.look()
        self._unanswered_at = time.monotonic() if sampler.unanswered else None


def _is_fresh(at: float) -> bool:
    return time.monotonic() - at < _STALE_AFTER
