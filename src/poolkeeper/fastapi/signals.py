"""Hear of a shutdown when it begins. The server tells the app only when its last request is done."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

Previous = Callable[[int, FrameType | None], object] | int | None


@contextmanager
def on_sigterm(notice: Callable[[], None], delay: float) -> Generator[None]:
    """Call `notice` on SIGTERM and hand the signal on to the server `delay` seconds later.

    A delay gives load balancers the time to see readiness turn while the server still accepts connections. Outside the
    main thread, where no signal arrives, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    previous: Previous = signal.getsignal(signal.SIGTERM)

    def hand_on(number: int, frame: FrameType | None) -> None:
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)

    def handler(number: int, frame: FrameType | None) -> None:
        notice()
        if delay > 0:
            # A signal handler runs between two bytecodes of the main thread, not as a callback of its loop.
            loop.call_soon_threadsafe(loop.call_later, delay, hand_on, number, None)
        else:
            hand_on(number, frame)

    signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is handler:
            signal.signal(signal.SIGTERM, previous)
