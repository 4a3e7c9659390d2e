"""Settings of the server that hold for one transaction: who the tenant is, say.

PostgreSQL ends them with the transaction, however that ends. A pooler in transaction mode gives the server connection
to somebody else only then, so nothing of them is ever seen by others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Engine, event, exc, text
from sqlalchemy.orm import Session, SessionTransaction

LocalSettings = Mapping[str, str]
SET_LOCAL = "poolkeeper.set_local"
IN_TRANSACTION = "poolkeeper_in_transaction"


class SetLocal:
    """The settings that the transactions of a database begin with: `ask` is called at the begin of each."""

    def __init__(self, dialect: str, ask: Callable[[], LocalSettings | None] | None) -> None:
        self._ask = ask
        self._dialect = dialect
        if ask is not None:
            self._require_postgresql()

    def added(self, options: Mapping[str, Any], of_session: LocalSettings | None) -> Mapping[str, Any]:
        """What a session is made with, so that it has these settings too, which win.

        Raises `InvalidRequestError` on another server than PostgreSQL, whose settings outlive a transaction.
        """
        ask = self._ask
        if of_session:
            self._require_postgresql()
        elif ask is None:
            return options

        def values() -> LocalSettings:
            return {**((ask() if ask is not None else None) or {}), **(of_session or {})}

        return {**options, "info": {**options.get("info", {}), SET_LOCAL: values}}

    def _require_postgresql(self) -> None:
        if self._dialect != "postgresql":
            raise exc.InvalidRequestError(
                f"set_local needs PostgreSQL: {self._dialect} has no settings that end with a transaction. What is SET "
                "there stays on the connection for the next request; pass the value to each statement as a parameter"
            )


def has_local_settings(session: Session) -> bool:
    """Whether its transactions begin with settings."""
    return SET_LOCAL in session.info


def set_locally(session_class: type[Session], *, read_only: bool = False) -> None:
    """Have the transactions of these sessions begin with the settings of each, in one round trip.

    `read_only` transactions are that for the server too. A transaction whose settings cannot be told or set does not
    begin: what they raise is raised.
    """

    def begun(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
        values: Callable[[], LocalSettings] | None = session.info.get(SET_LOCAL)
        # A savepoint has those of its transaction.
        if values is None or transaction.nested:
            return
        settings = dict(values())
        if read_only:
            settings["transaction_read_only"] = "on"
        if settings:
            _set(connection, settings)

    event.listen(session_class, "after_begin", begun)


def in_transaction(engine: Engine) -> Engine:
    """The same engine for reading in transactions, where it otherwise has none."""
    return engine.execution_options(**{IN_TRANSACTION: True})


def _set(connection: Connection, settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        if not isinstance(value, str):
            raise TypeError(f"set_local: the value of {name} is a text, not of type {type(value).__name__}")
    calls = ", ".join(f"set_config(:name_{number}, :value_{number}, true)" for number in range(len(settings)))
    names = {f"name_{number}": name for number, name in enumerate(settings)}
    values = {f"value_{number}": value for number, value in enumerate(settings.values())}
    connection.execute(text(f"SELECT {calls}"), names | values)
