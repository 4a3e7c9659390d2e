"""Why a database's pool is slow or empty: from its last minutes, and from what the server says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from poolkeeper.diagnosis import explain, in_full, in_short
from poolkeeper.model import Finding, PoolSnapshot, ReplicaView, Report, ServerFacts
from poolkeeper.observe import History, Ticker
from poolkeeper.server import Sampler

# While something is wrong the server is looked at this often (seconds), so that an error can tell what it said.
_LOOK_EVERY = 5.0
# What the server said so long ago is no evidence for what happens now.
_STALE_AFTER = 10.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a pool does, why, and what the server says. `problem` tells why the server could not be looked at."""

    snapshot: PoolSnapshot
    findings: tuple[Finding, ...]
    facts: ServerFacts | None = None
    problem: str | None = None

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


class Explaining:
    """Keeps the last minutes of a pool (`history`), and finds causes in them.

    While callers wait for a full pool, or connects fail, the server is looked at now and then, over a connection that
    is not the pool's. `sampler` is None for a database that has no server. `replicas` gives those that it has.
    """

    def __init__(
        self,
        snapshot: Callable[[], PoolSnapshot],
        sampler: Sampler | None,
        replicas: Callable[[], tuple[ReplicaView, ...]] = tuple,
    ) -> None:
        self.history = History()
        self._snapshot, self._sampler, self._replicas = snapshot, sampler, replicas
        self._ticker = Ticker(self._tick, self.history.every)
        self._looking: asyncio.Task[None] | None = None
        self._looked = 0.0
        self._facts: ServerFacts | None = None

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
        return self._explained(self._snapshot(), self._fresh_facts())[1]

    def report(self) -> Report:
        """For the error of a caller who got no connection."""
        snapshot, findings = self._explained(self._snapshot(), self._fresh_facts())
        return Report(in_short(findings), in_full(snapshot, findings))

    async def explain(self) -> Explanation:
        """The causes, with a look at the server, which takes a few seconds at most."""
        if self._sampler is None:
            return Explanation(*self._explained(self._snapshot(), None))
        facts = self._facts = await self._sampler.look()
        return Explanation(*self._explained(self._snapshot(), facts), facts, self._sampler.problem)

    def _explained(self, now: PoolSnapshot, facts: ServerFacts | None) -> tuple[PoolSnapshot, tuple[Finding, ...]]:
        return now, explain((*self.history.window(), now), facts, self._replicas())

    def _fresh_facts(self) -> ServerFacts | None:
        facts = self._facts
        return facts if facts is not None and time.monotonic() - facts.at < _STALE_AFTER else None

    def _tick(self) -> None:
        now = self._snapshot()
        self.history.add(now)
        in_trouble = now.saturated or now.connect_trouble is not None
        if in_trouble and self._sampler is not None and now.at - self._looked >= _LOOK_EVERY:
            self._looked = now.at
            self._looking = asyncio.get_running_loop().create_task(self._look(self._sampler), name="poolkeeper-look")

    async def _look(self, sampler: Sampler) -> None:
        self._facts = await sampler.look()
