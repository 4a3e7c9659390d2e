"""The errors that callers of a pool get, with the moment in them."""

from __future__ import annotations

import copy
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from poolkeeper.drivers import classify_connect_failure
from poolkeeper.errors import ConnectFailure, PoolClosed, PoolSaturated, PoolTimeout
from poolkeeper.model import RefusalReason, Report
from poolkeeper.policy import Refusal

if TYPE_CHECKING:
    from poolkeeper.pool.home import Home
    from poolkeeper.pool.record import KeeperRecord

Problem = Callable[[], BaseException]

_CURABLE = frozenset(
    {
        ConnectFailure.DNS,
        ConnectFailure.REFUSED,
        ConnectFailure.TIMEOUT,
        ConnectFailure.TOO_MANY_CONNECTIONS,
        ConnectFailure.STARTING_OR_STOPPING,
        ConnectFailure.READ_ONLY,
        ConnectFailure.NETWORK,
    }
)


_NOBODY = "each connection is held by a task that has ended without returning it, or wants another one first"
# Where no likeliest cause brings its own.
_ADVICE = "Pass the session down instead of opening a second one, or end the first before"


def is_curable(error: BaseException) -> bool:
    """Whether a failed connect may succeed a little later, with nothing changed on our side."""
    return not isinstance(error, Exception) or classify_connect_failure(error) in _CURABLE


def is_full(error: BaseException | None) -> bool:
    """Whether the server has no connection left for us: others have to go first, and nobody knows when."""
    return isinstance(error, Exception) and classify_connect_failure(error) is ConnectFailure.TOO_MANY_CONNECTIONS


def without_frames(error: BaseException) -> None:
    """Let the tracebacks of this error hold nothing: drivers keep half-open connections in them."""
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__


def unreachable(home: Home) -> Problem:
    """The driver's own error, as a copy for each caller: an instance raised twice would mix their tracebacks."""
    error, note = home.outage.error, _note(home)
    return lambda: _copy_of(error, note) if error is not None else _timed_out(note)


def the_error_itself(error: BaseException) -> Problem:
    """For the one caller that this failure to connect belongs to."""
    return lambda: error


def timed_out(home: Home) -> Problem:
    """One text for all who time out at this moment."""
    return _after_waiting(home, f"connection timed out, timeout {home.options.timeout:0.2f}")


def leaked(home: Home) -> Problem:
    """For all who wait where nobody is going to return a connection."""
    return _after_waiting(home, f"and nobody waits any longer: {_NOBODY}")


def _after_waiting(home: Home, why: str) -> Problem:
    limits, counts, report = home.queue.limits, home.counts(), home.incident.report()
    message = (
        f"{home.pool.name} limit of size {limits.pool_size} overflow {limits.max_overflow} reached, {why} "
        f"({_moment(home)})"
    )
    return lambda: _because(PoolTimeout(with_report(report, message), counts, report.full), home.outage.error)


def saturated(home: Home, refusal: Refusal, own: KeeperRecord | None = None) -> BaseException:
    """For a caller that is not let in; `own` is the connection that it holds already."""
    wait = f"{refusal.predicted_wait:.2f} s"
    why = {
        RefusalReason.MAX_WAITING: f"max_waiting = {home.options.max_waiting} callers wait already, the next one about "
        f"{wait}",
        RefusalReason.PREDICTED_WAIT: f"a connection would come in about {wait}, too late for this caller",
        RefusalReason.NOBODY_RETURNS: _NOBODY,
    }[refusal.reason]
    report = home.incident.report("" if own is None else "nested checkouts")
    if own is not None:
        why = f"{why}; {_nested(home, own)}{'' if report.short else f'. {_ADVICE}'}"
    error = PoolSaturated(
        with_report(report, f"{home.pool.name} refused at once: {why} ({_moment(home)})"),
        home.counts(),
        report.full,
        reason=refusal.reason,
        predicted_wait=refusal.predicted_wait,
        retry_after=refusal.retry_after,
    )
    return _because(error, home.outage.error)


def _nested(home: Home, own: KeeperRecord) -> str:
    register = home.pool.register
    site = register.asking_at() if register is not None else None
    where = f" at {site}" if site is not None else ""
    return f"this caller holds one ({home.pool.describe_holder(own)}) and asks for another{where}: a nested checkout"


def closed(home: Home) -> Problem:
    """For everybody who asks while the pool drains, or waited when it began to."""
    message, counts = f"{home.pool.name} is shutting down ({_moment(home)})", home.counts()
    return lambda: PoolClosed(message, counts)


def _timed_out(note: str) -> PoolTimeout:
    return PoolTimeout(note)


def _moment(home: Home) -> str:
    limits = home.queue.limits
    oldest = home.oldest_holder()
    held = f"; held longest: {home.pool.describe_holder(oldest)}" if oldest is not None else ""
    return f"pool_size {limits.pool_size}, max_overflow {limits.max_overflow}; {home.counts()}{held}"


def _note(home: Home) -> str:
    outage = home.outage
    seconds = time.monotonic() - outage.since
    return f"{home.pool.name}: no connect succeeded for {seconds:.1f} s, {outage.failures} attempts ({_moment(home)})"


def with_report(report: Report, message: str) -> str:
    """The message, with the likeliest cause below it."""
    return f"{message}\n{report.short}" if report.short else message


def _because(error: BaseException, cause: BaseException | None) -> BaseException:
    error.__cause__ = cause
    return error


def _copy_of(error: BaseException, note: str) -> BaseException:
    try:
        ours = copy.copy(error)
    except Exception:
        # An exception class may demand anything of its copies.
        ours = error
    if ours is error or type(ours) is not type(error):
        ours = PoolTimeout(note)
    else:
        ours.add_note(note)
    return _because(ours.with_traceback(None), error)
