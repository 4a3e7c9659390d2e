"""Whatever happens to a pool, and in whatever order: no connection and nobody is lost."""

from __future__ import annotations

import logging
import random
import time
from typing import Any

import pytest
from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.pool.world import RECYCLE, Caller, Work, World, leak

from poolkeeper.testing.scripted import errors

# How far the loop goes after a step: not at all, a few turns, or (None) until it is at rest.
TURNS = st.sampled_from([None, None, None, 0, 1, 2, 3, 5])
PICK = st.integers(0, 9)
SIZES = st.integers(1, 3)


def execute(connection: Any) -> None:
    connection.cursor().execute("SELECT 1")


def invalidate(connection: Any) -> None:
    connection.invalidate()


def invalidate_softly(connection: Any) -> None:
    connection.invalidate(soft=True)


def terminated() -> errors.Error:
    return errors.OperationalError("terminating connection due to administrator command", sqlstate="57P01")


def wrong_password() -> errors.Error:
    return errors.OperationalError("password authentication failed", sqlstate="28P01")


class PoolMachine(RuleBasedStateMachine):
    """Callers come and go, the database fails in every way, and the pool is changed while it is used."""

    world: World
    at_rest = True

    @initialize(
        size=SIZES,
        overflow=st.integers(0, 2),
        ready=st.integers(0, 2),
        at_once=st.integers(1, 3),
        ping_after=st.sampled_from([0.0, 2.0]),
        lifo=st.booleans(),
    )
    def open(self, size: int, overflow: int, ready: int, at_once: int, ping_after: float, lifo: bool) -> None:
        self.world = World(
            pool_size=size,
            max_overflow=overflow,
            min_idle=min(size, ready),
            connects_at_once=at_once,
            ping_after=ping_after,
            pool_use_lifo=lifo,
        )

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.world.finish()
        finally:
            self.world.close()

    def passes(self, turns: int | None) -> None:
        self.world.turn(turns)
        self.at_rest = turns is None

    # Callers

    @rule(count=st.integers(1, 4), turns=TURNS)
    def arrive(self, count: int, turns: int | None) -> None:
        self.world.callers += [Caller(self.world) for _ in range(count)]
        self.passes(turns)

    def _waiting(self) -> list[Caller]:
        return [caller for caller in self.world.callers if caller.raw is None and not caller.task.done()]

    def _holding(self) -> list[Caller]:
        return [caller for caller in self.world.callers if caller.holds]

    @precondition(lambda self: self._waiting())
    @rule(pick=PICK, turns=TURNS)
    def cancel_waiting(self, pick: int, turns: int | None) -> None:
        self._waiting()[pick % len(self._waiting())].task.cancel()
        self.passes(turns)

    @precondition(lambda self: self._holding())
    @rule(pick=PICK, turns=TURNS)
    def cancel_holding(self, pick: int, turns: int | None) -> None:
        self._holding()[pick % len(self._holding())].task.cancel()
        self.passes(turns)

    @precondition(lambda self: self._holding())
    @rule(pick=PICK, turns=TURNS)
    def give_back(self, pick: int, turns: int | None) -> None:
        self._holding()[pick % len(self._holding())].order(None)
        self.passes(turns)

    @precondition(lambda self: self._holding())
    @rule(pick=PICK, work=st.sampled_from([execute, execute, invalidate, invalidate_softly]), turns=TURNS)
    def work(self, pick: int, work: Work, turns: int | None) -> None:
        caller = self._holding()[pick % len(self._holding())]
        if not caller.detaches:
            caller.order(work)
        if work is invalidate:
            caller.order(None)
        self.passes(turns)

    @precondition(lambda self: self._holding())
    @rule(pick=PICK, turns=TURNS)
    def detach(self, pick: int, turns: int | None) -> None:
        caller = self._holding()[pick % len(self._holding())]

        def work(connection: Any) -> None:
            if connection.is_valid:
                connection.detach()
                caller.detached = True

        if not caller.detaches:
            caller.detaches = True
            caller.order(work)
        self.passes(turns)

    @precondition(lambda self: self._holding())
    @rule(pick=PICK, turns=TURNS)
    def forget(self, pick: int, turns: int | None) -> None:
        caller = self._holding()[pick % len(self._holding())]
        # What is detached is the caller's own to close.
        caller.order(None if caller.detaches else leak)
        self.passes(turns)

    # The database

    @precondition(lambda self: self.world.database.connections)
    @rule(pick=PICK, death=st.sampled_from(["kill", "notice_death", "silence", "notice"]), turns=TURNS)
    def happen(self, pick: int, death: str, turns: int | None) -> None:
        connections = self.world.database.connections
        connection = connections[pick % len(connections)]
        if death == "kill":
            self.world.kill(connection)
        elif not connection.is_killed:
            getattr(connection, death)()
        self.passes(turns)

    @rule(turns=TURNS)
    def restart(self, turns: int | None) -> None:
        for connection in self.world.database.connections:
            self.world.kill(connection)
        self.world.database.connects.fail(ConnectionRefusedError, times=2)
        self.passes(turns)

    @rule(
        kind=st.sampled_from(["connects", "connects", "pings", "rollbacks", "closes", "statements"]),
        how=st.sampled_from(["hang", "fail", "answer late", "terminate", "refuse"]),
        times=st.integers(1, 3),
    )
    def fail_next(self, kind: str, how: str, times: int) -> None:
        script = getattr(self.world.database, kind)
        if how == "hang":
            script.hang(times)
        elif how == "answer late":
            script.answer(0.3)
        else:
            made = {"fail": errors.ConnectionLostError, "terminate": terminated, "refuse": wrong_password}
            script.fail(made[how], times)

    @rule(turns=TURNS)
    def go_away(self, turns: int | None) -> None:
        self.world.database.connects.fail(ConnectionRefusedError)
        self.passes(turns)

    @rule(turns=TURNS)
    def heal(self, turns: int | None) -> None:
        self.world.database.heal()
        self.passes(turns)

    # The pool

    @rule(size=SIZES, overflow=st.integers(0, 2), turns=TURNS)
    def resize(self, size: int, overflow: int, turns: int | None) -> None:
        self.world.inside(lambda: self.world.pool.resize(size, overflow))
        self.passes(turns)

    @rule(turns=TURNS)
    def suspend(self, turns: int | None) -> None:
        self.world.inside(self.world.pool.suspend)
        self.passes(turns)

    @rule(turns=TURNS)
    def resume(self, turns: int | None) -> None:
        self.world.inside(self.world.pool.resume)
        self.passes(turns)

    @rule(turns=TURNS)
    def dispose(self, turns: int | None) -> None:
        self.world.run(self.world.engine.dispose())
        self.world.replaced()
        self.passes(turns)

    @rule(seconds=st.sampled_from([0.01, 0.5, 3.0, 20.0, 70.0, RECYCLE]))
    def advance(self, seconds: float) -> None:
        self.world.advance(seconds)
        self.passes(None)

    @invariant()
    def nothing_is_lost(self) -> None:
        if not hasattr(self, "world"):
            return
        if self.at_rest:
            self.world.check_at_rest()
        else:
            self.world.check_always()


def play(examples: int, steps: int) -> None:
    # What is to be seen here is what is lost, not what each of thousands of broken connections logs.
    logging.disable()
    try:
        run_state_machine_as_test(
            PoolMachine, settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None)
        )
    finally:
        logging.disable(logging.NOTSET)


def test_whatever_happens() -> None:
    play(100, 40)


@pytest.mark.slow
def test_whatever_happens_for_half_a_minute() -> None:
    end = time.perf_counter() + 30
    while time.perf_counter() < end:
        chosen = random.SystemRandom().randrange(2**32)
        print(f"seed {chosen}")
        seed(chosen)(PoolMachine)
        play(100, 50)
