"""What a scripted database does when it is asked for something."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

MakeError = Callable[[], BaseException]
Reply = Callable[[BaseException | None], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One answer: after `delay` seconds, with the error that `error` makes, or never while it `hangs`."""

    delay: float = 0.0
    error: MakeError | None = None
    hangs: bool = False


class Script:
    """How one kind of request (connect, ping, statement, ...) is answered, and how often it was made.

    Without a script every request succeeds, one turn of the event loop later. Each method takes effect on requests made
    from now on, `release` also on those that hang.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = 0
        self.under_way = 0
        self.most_at_once = 0
        self._next: deque[Step] = deque()
        self._otherwise = Step()
        self._held: list[Reply] = []

    def __repr__(self) -> str:
        return f"<Script {self.name}: asked {self.asked} times, {self.under_way} under way, {self.held} held>"

    @property
    def held(self) -> int:
        """Requests that hang now."""
        return len(self._held)

    def answer(self, delay: float = 0.0) -> None:
        """Succeed after `delay` seconds. Forgets what was said before."""
        self._set(Step(delay), None)

    def fail(self, error: MakeError, times: int | None = None, delay: float = 0.0) -> None:
        """Fail after `delay` seconds, the next `times` or always; `error` makes the error (a class, or a function)."""
        self._set(Step(delay, error), times)

    def hang(self, times: int | None = None) -> None:
        """Do not answer, the next `times` or always."""
        self._set(Step(hangs=True), times)

    def release(self) -> None:
        """Answer what hangs, and everything from now on."""
        self.answer()
        held, self._held = self._held, []
        for reply in held:
            reply(None)

    @contextmanager
    def request(self, reply: Reply) -> Generator[None]:
        """Make a request: `reply` is called once with its error or None, unless the block ends before."""
        self.asked += 1
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        step = self._next.popleft() if self._next else self._otherwise
        forget = self._hold(reply) if step.hangs else _answer_later(step, reply)
        try:
            yield
        finally:
            self.under_way -= 1
            forget()

    def _set(self, step: Step, times: int | None) -> None:
        if times is None:
            self._next.clear()
            self._otherwise = step
        else:
            self._next.extend([step] * times)

    def _hold(self, reply: Reply) -> Callable[[], None]:
        self._held.append(reply)

        def forget() -> None:
            if reply in self._held:
                self._held.remove(reply)

        return forget


def _answer_later(step: Step, reply: Reply) -> Callable[[], None]:
    loop = asyncio.get_running_loop()
    error = step.error() if step.error else None
    if step.delay > 0:
        return loop.call_later(step.delay, reply, error).cancel
    return loop.call_soon(reply, error).cancel
