"""One attempt at a transaction, and whether another may follow it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session


class Attempt:
    """Watches the session of an attempt. `result` is what the function returned before the commit."""

    def __init__(self, *, autocommits: bool) -> None:
        self.result: Any = None
        # Nothing that the session did can have stayed.
        self.is_repeatable = True
        self._autocommits = autocommits

    def watch(self, session: Session) -> None:
        """Notice what is committed on the way: a second attempt would do it twice."""
        event.listen(session, "after_begin", self._began)
        event.listen(session, "after_commit", self._committed)

    def _began(self, _session: Session, _transaction: object, connection: Connection) -> None:
        level = connection.get_execution_options().get("isolation_level")
        if level == "AUTOCOMMIT" or (level is None and self._autocommits):
            self.is_repeatable = False

    def _committed(self, session: Session) -> None:
        # The end of a savepoint is told too, and is none.
        if not session.in_nested_transaction():
            self.is_repeatable = False
