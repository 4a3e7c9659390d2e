"""Error codes that decide something: is the connection still good, does a retry make sense, what to answer."""

from __future__ import annotations

from datetime import date

from poolkeeper.facts.fact import Fact

_POSTGRESQL = "PostgreSQL 18.4, errcodes.txt as installed with the server"
_MYSQL = "MariaDB 10.11.19, errmsg-utf8.txt as installed with the server; PyMySQL 1.2.4, constants ER and CR"
_AS_OF = date(2026, 11, 20)


def _postgresql(*codes: str) -> Fact[frozenset[str]]:
    return Fact(frozenset(codes), _POSTGRESQL, _AS_OF)


def _mysql(*numbers: int) -> Fact[frozenset[int]]:
    return Fact(frozenset(numbers), _MYSQL, _AS_OF)


# Classes are the first two characters of an SQLSTATE.
CONNECTION_CLASS = _postgresql("08")
AUTHENTICATION_CLASS = _postgresql("28")

STARTING_OR_STOPPING = _postgresql("57P01", "57P02", "57P03")
# A timeout of the session or the transaction, or the end of its database: the server closes the connection with it.
SESSION_ENDED = _postgresql("25P03", "25P04", "57P04", "57P05")
READ_ONLY = _postgresql("25006")
TOO_MANY_CONNECTIONS = _postgresql("53300")
NO_SUCH_DATABASE = _postgresql("3D000")
SERIALIZATION_FAILURE = _postgresql("40001")
DEADLOCK = _postgresql("40P01")
# The server answers, and cannot say what became of the transaction.
OUTCOME_UNKNOWN = _postgresql("08007", "40003")
QUERY_CANCELED = _postgresql("57014")
LOCK_NOT_AVAILABLE = _postgresql("55P03")

MYSQL_TOO_MANY_CONNECTIONS = _mysql(1040, 1203, 1226)
MYSQL_AUTHENTICATION = _mysql(1044, 1045, 1130, 1698)
MYSQL_NO_SUCH_DATABASE = _mysql(1049)
MYSQL_STOPPING = _mysql(1053)
MYSQL_KILLED = _mysql(1927)
MYSQL_LOCK_TIMEOUT = _mysql(1205)
MYSQL_DEADLOCK = _mysql(1213)
MYSQL_READ_ONLY = _mysql(1290, 1836)
# In answer to COMMIT: the transaction was rolled back.
MYSQL_COMMIT_ROLLED_BACK = _mysql(1213, 1290, 1836)
MYSQL_STATEMENT_TIMEOUT = _mysql(1969, 3024)
MYSQL_CANNOT_CONNECT = _mysql(2002, 2003)
MYSQL_UNKNOWN_HOST = _mysql(2005)
MYSQL_CONNECTION_LOST = _mysql(2006, 2013)
MYSQL_TLS = _mysql(2026)
MYSQL_SILENT_TOO_LONG = Fact(frozenset({4031}), "SQLAlchemy 2.1.9, is_disconnect() of its MySQL dialect", _AS_OF)
