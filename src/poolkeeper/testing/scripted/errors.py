"""The errors of the scripted driver, named as PEP 249 names them."""

from __future__ import annotations


class Error(Exception):
    """The base of all. `sqlstate` is what a server would send along."""

    def __init__(self, message: str = "scripted", sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class InterfaceError(Error):
    """The driver was misused."""


class DatabaseError(Error):
    """The database refused."""


class DataError(DatabaseError):
    """A value does not fit."""


class OperationalError(DatabaseError):
    """Something outside the statement went wrong."""


class IntegrityError(DatabaseError):
    """A constraint was violated."""


class InternalError(DatabaseError):
    """The database is confused."""


class ProgrammingError(DatabaseError):
    """The statement is wrong."""


class NotSupportedError(DatabaseError):
    """The database cannot do this."""


class ConnectionLostError(OperationalError):
    """The connection is gone; SQLAlchemy counts this error as a disconnect."""
