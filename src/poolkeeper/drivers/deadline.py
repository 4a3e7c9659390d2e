"""A deadline for calls that block: the caller stops waiting, the call ends by itself later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, connect: Callable[[], T], discard: Callable[[T], object]) -> T:
    """What `connect` returns or raises, in a thread of its own, or TimeoutError after `seconds`.

    A name lookup cannot be interrupted and a handshake has no timeout in most drivers, so the thread is left behind;
    what it still brings is given to `discard`.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            result = connect()
        except BaseException as error:
            if outcome.set_running_or_notify_cancel():
                outcome.set_exception(error)
            return
        if outcome.set_running_or_notify_cancel():
            outcome.set_result(result)
        else:
            discard(result)

    threading.Thread(target=run, name="poolkeeper-connect", daemon=True).start()
    try:
        return outcome.result(seconds)
    except BaseException:
        if outcome.cancel():
            raise
        return outcome.result()
