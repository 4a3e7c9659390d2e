"""Connects as they pass the proxy before the server: when each began, and when it was over."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# What the server says before its first message: a letter for each encryption that the client asked for.
_REFUSED, _ENCRYPTED = b"N", (b"S", b"G")
_HEAD = struct.Struct("!ci")
# ReadyForQuery: the client is in. ErrorResponse: it is not, and never will be.
_LAST_WORDS = (b"Z", b"E")


class Connect(NamedTuple):
    """From the client's first sign to its admission, or its end without one; `ended` is None while it is under way.

    Nobody can tell how long an `encrypted` one takes.
    """

    began: float
    ended: float | None
    encrypted: bool = False

    def since(self, moment: float) -> Connect:
        return self._replace(began=self.began - moment, ended=None if self.ended is None else self.ended - moment)


class Listener:
    """Hears one connection until the server has let its client in (protocol 3.0, also that of PgBouncer)."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._ended: float | None = None
        self._encrypted = False
        self._heard = bytearray()
        self._greeted = False

    @property
    def connect(self) -> Connect:
        return Connect(self._began, self._ended, self._encrypted)

    def said(self, data: bytes) -> None:
        if self._ended is None:
            self._heard += data
            self._skip_greeting()
            if self._encrypted or any(kind in _LAST_WORDS for kind in self._messages()):
                self.over()

    def over(self) -> None:
        if self._ended is None:
            self._ended = time.monotonic()
            self._heard.clear()

    def _skip_greeting(self) -> None:
        while self._heard and not self._greeted:
            letter = bytes(self._heard[:1])
            self._encrypted = letter in _ENCRYPTED
            self._greeted = letter != _REFUSED
            if not self._greeted:
                del self._heard[:1]

    def _messages(self) -> Iterator[bytes]:
        """The kinds of the messages that are complete; a length counts itself."""
        while self._greeted and len(self._heard) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._heard)
            if len(self._heard) <= length:
                return
            del self._heard[: length + 1]
            yield kind


class Connects:
    """Hears all connections of a proxy: `FaultProxy(..., witness=connects.listen)`."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self) -> Listener:
        self._listeners.append(Listener())
        return self._listeners[-1]

    def since(self, moment: float, begins: float) -> tuple[Connect, ...]:
        """Those that were under way at `moment` (`time.monotonic()`) or later, their times counted from `begins`."""
        found = (listener.connect for listener in tuple(self._listeners))
        return tuple(each.since(begins) for each in found if each.ended is None or each.ended > moment)


def most_at_once(connects: Sequence[Connect]) -> int:
    """How many were under way at the same moment, at most."""
    steps = [(each.began, 1) for each in connects]
    steps += [(each.ended, -1) for each in connects if each.ended is not None]
    most = under_way = 0
    # Of one moment, ends come first.
    for _, step in sorted(steps):
        under_way += step
        most = max(most, under_way)
    return most
