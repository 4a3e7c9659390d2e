"""Sessions that only read, and those of them that may read from a replica."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session, SessionTransactionOrigin

from poolkeeper.database.local_settings import has_local_settings, in_transaction, set_locally
from poolkeeper.database.read_engine import refuse_flushes
from poolkeeper.database.retrying import Retrying
from poolkeeper.database.route import Route
from poolkeeper.drivers import retry_reason
from poolkeeper.model import RetryReason

T = TypeVar("T")
ROUTE = "poolkeeper.route"
RETRYING = "poolkeeper.retrying"
_ENGINES = "poolkeeper.engines"
_BROKEN = RetryReason.DISCONNECT


class ReadSession(Session):
    """The synchronous half of a session that only reads.

    Where the connection breaks under its first statement, that is sent once more, on another connection: it had no
    effect, and nothing was returned yet. `info` holds the `Retrying` that is asked.
    """

    _has_answered = False
    _has_resent = False

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        return self._sent(super().execute, args, kwargs)

    def scalar(self, *args: Any, **kwargs: Any) -> Any:
        return self._sent(super().scalar, args, kwargs)

    def scalars(self, *args: Any, **kwargs: Any) -> Any:
        return self._sent(super().scalars, args, kwargs)

    def connection(self, *args: Any, **kwargs: Any) -> Connection:
        # Whatever is done with it is out of our sight.
        return self._sent(super().connection, args, kwargs)

    def get_bind(self, mapper: Any = None, **which: Any) -> Engine | Connection:
        return self._bound(super().get_bind(mapper, **which))

    def _bound(self, bind: Engine | Connection) -> Engine | Connection:
        """Settings of a transaction need one."""
        if not isinstance(bind, Engine) or not has_local_settings(self):
            return bind
        # A session knows its connections by their engines: always the same one.
        known: dict[Engine, Engine] = self.info.setdefault(_ENGINES, {})
        if bind not in known:
            known[bind] = in_transaction(bind)
        return known[bind]

    def _may_resend(self, error: Exception) -> bool:
        """Whether to send the first statement again, to the same host, after this error."""
        retrying: Retrying | None = self.info.get(RETRYING)
        if retrying is None or self._has_answered or self._has_resent or retry_reason(error) is not _BROKEN:
            return False
        transaction = self.get_transaction()
        if transaction is not None and transaction.origin is not SessionTransactionOrigin.AUTOBEGIN:
            return False
        self._has_resent = retrying.allows(RetryReason.READ)
        return self._has_resent

    def _sent(self, call: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        try:
            result = call(*args, **kwargs)
        except Exception as error:
            if not self._may_resend(error):
                raise
            self.rollback()
        else:
            self._has_answered = True
            return result
        return self._sent(call, args, kwargs)


refuse_flushes(ReadSession)
set_locally(ReadSession, read_only=True)


class RoutedReadSession(ReadSession):
    """One whose `info` holds the `Route` that it takes.

    While it has returned nothing, a host that fails it is replaced by another. Later it stays where it is: half of what
    it returned would be of another moment.
    """

    def get_bind(self, mapper: Any = None, *, bind: Any = None, **_which: Any) -> Engine | Connection:  # noqa: ARG002
        return self._bound(self._route.engine() if bind is None else bind)

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        return self._answered(super().execute, args, kwargs)

    def scalar(self, *args: Any, **kwargs: Any) -> Any:
        return self._answered(super().scalar, args, kwargs)

    def scalars(self, *args: Any, **kwargs: Any) -> Any:
        return self._answered(super().scalars, args, kwargs)

    def connection(self, *args: Any, **kwargs: Any) -> Connection:
        # Whatever is done with it is out of our sight.
        return self._answered(super().connection, args, kwargs)

    @property
    def _route(self) -> Route:
        route: Route = self.info[ROUTE]
        return route

    def _may_resend(self, error: Exception) -> bool:
        # A replica that failed is left for another host.
        return self._route.host is None and super()._may_resend(error)

    def _answered(self, call: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        route = self._route
        while True:
            try:
                result = call(*args, **kwargs)
            except Exception as error:
                if not route.leave_for(error):
                    raise
                self._let_go()
            else:
                route.has_answered = True
                return result

    def _let_go(self) -> None:
        """Give back the connection that failed. A transaction that somebody else began is theirs to end."""
        transaction = self.get_transaction()
        if transaction is not None and transaction.origin is SessionTransactionOrigin.AUTOBEGIN:
            self.rollback()
