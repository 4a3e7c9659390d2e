"""A COMMIT whose answer was lost is told as what it is: nobody knows whether the work was done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from poolkeeper.drivers import Driver, leaves_commit_open
from poolkeeper.engine.commands import driver_connection
from poolkeeper.errors import CommitUnknown, ConcurrentSessionUse
from poolkeeper.policy import Verdict
from poolkeeper.pool.sockets import look_at, poll_of

_MARK = "poolkeeper_commit_sent"


def tell_lost_answers(engine: Engine, driver: Driver) -> None:
    """Raise `CommitUnknown` from every commit on this engine that was sent, and not answered for certain.

    Call it last: what others make of the dialect's commit happens inside.
    """
    dialect, commit = engine.dialect, engine.dialect.do_commit

    def do_commit(dbapi_connection: Any) -> None:
        raw = driver_connection(dbapi_connection)
        if not driver.is_in_transaction(raw):
            commit(dbapi_connection)
            return
        # Whoever has closed its side by now never reads a COMMIT.
        is_late = look_at(driver.is_closed, raw, poll_of(driver.socket_of(raw))) is Verdict.GONE
        try:
            commit(dbapi_connection)
        except BaseException as error:
            if not is_late and not isinstance(error, ConcurrentSessionUse):
                # A cancellation is marked too. It stays one, and whoever caused it may want to know.
                setattr(error, _MARK, True)
            raise

    dialect.do_commit = do_commit  # type: ignore[method-assign]
    event.listen(engine, "handle_error", _translate, retval=True)


def commit_was_sent(error: BaseException) -> bool:
    """Whether this error, or what it came from, ended the wait for the answer to a COMMIT."""
    return any(getattr(link, _MARK, False) for link in _links(error))


def _translate(context: ExceptionContext) -> BaseException | None:
    error = context.original_exception
    if not isinstance(error, Exception) or not getattr(error, _MARK, False):
        return None
    if not leaves_commit_open(context.dialect.name, error):
        return None
    if not context.is_disconnect:
        # The fault may be this connection's alone; its siblings are not doubted.
        context.is_disconnect, context.invalidate_pool_on_disconnect = True, False
    return CommitUnknown(getattr(context, "chained_exception", None) or error)


def _links(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__
