"""Every failure to connect leaves as one type, whatever the driver raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError

from poolkeeper.drivers import classify_connect_failure
from poolkeeper.errors import ConnectFailed

ConnectObserver = Callable[[ConnectFailed | None], None]


def classify_connects(dialect: Dialect, where: str, observer: ConnectObserver) -> None:
    """Raise `ConnectFailed` from failing connects of this dialect, and tell `observer` how each one ended.

    The dialect's own `connect` is wrapped, because a `do_connect` listener would have to be the last of its kind: the
    first one that returns a connection keeps all others (a password rotation, say) from running.
    """
    plain_connect = dialect.connect

    def connect(*args: Any, **kwargs: Any) -> DBAPIConnection:
        try:
            connection = plain_connect(*args, **kwargs)
        except SQLAlchemyError:
            raise
        except Exception as error:
            failure = ConnectFailed(classify_connect_failure(error), error, where)
            observer(failure)
            raise failure from error
        observer(None)
        return connection

    dialect.connect = connect  # type: ignore[method-assign]
