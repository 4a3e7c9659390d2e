"""The queue of a pool: callers in the order of their arrival, connections to give them, room to open more.

Every change is one synchronous step that ends with `settle()`: whatever became free goes to the caller at the head,
and nothing is opened that no caller and no `min_idle` asks for. What takes time is left to `Actions`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar

W = TypeVar("W")
E = TypeVar("E")
_W = TypeVar("_W", contravariant=True)
_E = TypeVar("_E", contravariant=True)


class Verdict(Enum):
    """What a look at an idle connection says: hand it out, ask the server first, or close it."""

    GOOD = 1
    ASK = 2
    GONE = 3


class Actions(Protocol[_W, _E]):
    """What a decision sets in motion. Each returns at once and tells the queue later how it ended."""

    def look(self, entry: _E, /) -> Verdict: ...

    def hand_over(self, waiter: _W, entry: _E, /) -> None: ...

    def check(self, entry: _E, /) -> None:
        """Ping; then `checked` or `failed_check`."""
        ...

    def open(self) -> None:
        """Connect; then `connected` or `connect_failed`."""
        ...

    def discard(self, entry: _E, /) -> None:
        """Close; then `closed`."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a pool, in SQLAlchemy's terms: `pool_size` 0 or `max_overflow` -1 is no limit.

    `min_idle` connections are kept ready beyond those in use, as far as `pool_size` goes.
    """

    pool_size: int
    max_overflow: int = 0
    min_idle: int = 0
    connects_at_once: int = 2

    @property
    def capacity(self) -> int | None:
        """The most connections that may be open, None without a limit."""
        if self.pool_size == 0 or self.max_overflow < 0:
            return None
        return self.pool_size + self.max_overflow


class Queue(Generic[W, E]):
    """Waiting, hand-over and leaving. Every method costs the same however many wait and are idle, except `withdraw`,
    `reserve` and, by how many of them wait, joining urgently.

    A connection is in exactly one state: idle, being checked, in use, or closing; `connecting` counts those to come.
    """

    __slots__ = (
        "_actions",
        "_again",
        "_capacity",
        "_lifo",
        "_limits",
        "_owed",
        "_settling",
        "_urgent",
        "checking",
        "closing",
        "connecting",
        "connects_at_once",
        "idle",
        "in_use",
        "suspended",
        "waiting",
    )

    def __init__(self, limits: Limits, actions: Actions[W, E], *, lifo: bool = True) -> None:
        self._actions = actions
        self._lifo = lifo
        self._settling = self._again = False
        self.idle: deque[E] = deque()
        self.waiting: OrderedDict[W, None] = OrderedDict()
        # The first of those who wait: see `join`.
        self._urgent: OrderedDict[W, None] = OrderedDict()
        self.in_use = self.checking = self.closing = self.connecting = 0
        self.suspended = False
        self.limit(limits)

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def open(self) -> int:
        """Connections that the server may count: open, being opened, or not closed yet."""
        return self.in_use + len(self.idle) + self.checking + self.connecting + self.closing

    @property
    def surplus(self) -> int:
        """How many more are open than the limits allow."""
        return max(0, self.open - self._capacity) if self._capacity is not None else 0

    @property
    def has_room(self) -> bool:
        """Whether one more caller can be served without one that has a connection giving it back."""
        return self._capacity is None or len(self.waiting) < self._capacity - self.in_use

    def limit(self, limits: Limits) -> None:
        """Change the bounds. The caller settles, and closes what is too many."""
        self._limits = limits
        self._capacity = limits.capacity
        self.connects_at_once = limits.connects_at_once
        # Replacements that wait for their turn to connect; they were for the old bounds.
        self._owed = 0

    # Callers

    def take(self) -> E | None:
        """An idle connection at once, or None: then `join` and wait. Nobody is overtaken."""
        if not self.idle or self.waiting or self.suspended:
            return None
        entry = self._pop()
        if self._actions.look(entry) is not Verdict.GOOD:
            self._put(entry)
            return None
        self.in_use += 1
        return entry

    @property
    def urgent(self) -> int:
        """How many wait who were let in before the others."""
        return len(self._urgent)

    def join(self, waiter: W, *, urgent: bool = False) -> None:
        """Wait behind everybody who waits already; who is urgent, only behind others who are.

        Urgent is who has a connection and needs another: until it is served, it keeps the first from everybody.
        """
        self.waiting[waiter] = None
        if urgent:
            self._urgent[waiter] = None
            # Each holds a connection, so there are never many.
            for one in reversed(self._urgent):
                self.waiting.move_to_end(one, last=False)
        self.settle()

    def leave(self, waiter: W) -> bool:
        """Stop waiting. False if the waiter is not in the queue: it was handed a connection, or had left."""
        if waiter not in self.waiting:
            return False
        del self.waiting[waiter]
        self._urgent.pop(waiter, None)
        return True

    def head(self) -> W | None:
        """Who is next."""
        return next(iter(self.waiting), None)

    # Connections in use

    def give_back(self, entry: E) -> None:
        """A connection came home and is good."""
        self.in_use -= 1
        self.idle.append(entry)
        if self.waiting:
            self.settle()

    def retire(self, entry: E) -> None:
        """A connection came home and is not to be used again."""
        self.in_use -= 1
        self.closing += 1
        self._actions.discard(entry)

    def vanished(self) -> None:
        """A connection in use was closed, detached or lost by its holder."""
        self.in_use -= 1
        self.settle()

    # Idle connections

    def withdraw(self, entry: E) -> bool:
        """Take this connection out of the idle ones, to close it: `closed` follows. False if it is not idle."""
        return self._reserve(entry, closing=True)

    def reserve(self, entry: E) -> bool:
        """Take this connection out of the idle ones, to check it. False if it is not idle."""
        return self._reserve(entry, closing=False)

    def _reserve(self, entry: E, *, closing: bool) -> bool:
        try:
            self.idle.remove(entry)
        except ValueError:
            return False
        self.closing += closing
        self.checking += not closing
        return True

    # How actions ended

    def connected(self, entry: E) -> None:
        self.connecting -= 1
        self._arrive(entry)

    def connect_failed(self) -> None:
        self.connecting -= 1
        self.settle()

    def checked(self, entry: E) -> None:
        self.checking -= 1
        self._arrive(entry)

    def failed_check(self, entry: E) -> None:
        self.checking -= 1
        self.closing += 1
        self._actions.discard(entry)

    def closed(self, *, reopen: bool = False) -> None:
        """A closing connection is gone; with `reopen` another is opened in its place, whoever needs it."""
        self.closing -= 1
        self._owed += reopen
        self.settle()

    def _arrive(self, entry: E) -> None:
        # It answered just now. To ask again, as a look may want, would never end.
        if self.waiting and not self.suspended and self._actions.look(entry) is not Verdict.GONE:
            self._give(entry)
        elif self._lifo:
            # Nobody waits for it, so it is handed out last: those that are used have their statements prepared, and a
            # ping does not make an idle one a used one.
            self.idle.appendleft(entry)
        else:
            self.idle.append(entry)
        self.settle()

    # The decision

    def settle(self) -> None:
        """Give what is free to those who wait, then open what is missing."""
        if self._settling:
            # An action (or the garbage collector in the midst of one) changed the queue: decide once more.
            self._again = True
            return
        self._settling = True
        try:
            self._again = True
            while self._again:
                self._again = False
                self._serve()
                self._grow()
        finally:
            self._settling = False

    def _serve(self) -> None:
        while self.waiting and self.idle and not self.suspended:
            entry = self._pop()
            verdict = self._actions.look(entry)
            if verdict is Verdict.GOOD:
                self._give(entry)
            elif verdict is Verdict.GONE:
                self.closing += 1
                self._actions.discard(entry)
            elif len(self.waiting) > self.checking:
                # Also where a connect is under way: it may hang, and a ping is quicker.
                self.checking += 1
                self._actions.check(entry)
            else:
                self._put(entry)
                return

    def _give(self, entry: E) -> None:
        waiter, _ = self.waiting.popitem(last=False)
        if self._urgent:
            self._urgent.pop(waiter, None)
        self.in_use += 1
        self._actions.hand_over(waiter, entry)

    def _grow(self) -> None:
        while not self.suspended and (self._owed or self._wants_more()):
            if self._capacity is not None and self.open >= self._capacity:
                self._owed = 0
                return
            if self.connecting >= self.connects_at_once:
                return
            self._owed = max(0, self._owed - 1)
            self.connecting += 1
            self._actions.open()

    def _wants_more(self) -> bool:
        coming = self.checking + self.connecting
        if len(self.waiting) > coming + len(self.idle):
            return True
        ready = len(self.idle) + coming - len(self.waiting)
        limits = self._limits
        return ready < limits.min_idle and (limits.pool_size == 0 or self.open < limits.pool_size)

    def _pop(self) -> E:
        return self.idle.pop() if self._lifo else self.idle.popleft()

    def _put(self, entry: E) -> None:
        if self._lifo:
            self.idle.append(entry)
        else:
            self.idle.appendleft(entry)
