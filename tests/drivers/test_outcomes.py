"""Which errors leave a transaction undone for certain, and which a COMMIT in doubt."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import exc

from poolkeeper import CommandTimeout, CommitRefused, CommitUnknown, ConnectFailed, ConnectFailure, PoolTimeout
from poolkeeper.drivers import leaves_commit_open, retry_reason
from poolkeeper.model import RetryReason


class Reported(Exception):
    """As asyncpg has it: what a server reported."""

    def __init__(self, state: str, severity: str = "ERROR") -> None:
        super().__init__("reported")
        self.sqlstate, self.severity_en = state, severity


def wrapped(orig: Exception, *, gone: bool = False) -> exc.DBAPIError:
    return exc.OperationalError("SELECT 1", {}, orig, connection_invalidated=gone)


def refused(cause: Exception | None) -> CommitRefused:
    error = CommitRefused("refused")
    error.__cause__ = cause
    return error


def decided(cause: Exception) -> Exception:
    error = ValueError("no")
    error.__cause__ = cause
    return error


GONE = wrapped(OSError("broken pipe"), gone=True)
SERIALIZATION = wrapped(Reported("40001"))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SERIALIZATION, RetryReason.SERIALIZATION),
        (wrapped(Reported("40P01")), RetryReason.DEADLOCK),
        (wrapped(Exception(1213, "Deadlock found")), RetryReason.DEADLOCK),
        (wrapped(Exception(1205, "Lock wait timeout")), RetryReason.LOCK_TIMEOUT),
        (wrapped(Reported("25006")), RetryReason.READ_ONLY),
        (GONE, RetryReason.DISCONNECT),
        (wrapped(Reported("57P01", "FATAL"), gone=True), RetryReason.DISCONNECT),
        (refused(Reported("40001")), RetryReason.SERIALIZATION),
        (ConnectFailed(ConnectFailure.REFUSED, OSError(), "db"), RetryReason.UNREACHABLE),
        (ConnectFailed(ConnectFailure.STARTING_OR_STOPPING, OSError(), "db"), RetryReason.UNREACHABLE),
        (ConnectFailed(ConnectFailure.NETWORK, OSError(), "db"), RetryReason.UNREACHABLE),
        (ConnectFailed(ConnectFailure.TOO_MANY_CONNECTIONS, OSError(), "db"), None),
        (ConnectFailed(ConnectFailure.AUTHENTICATION, OSError(), "db"), None),
        (wrapped(Reported("23505")), None),
        (wrapped(Reported("57014")), None),
        (refused(Reported("23505")), None),
        (refused(None), None),
        (decided(SERIALIZATION), None),
        (CommandTimeout(1, OSError()), None),
        (CommitUnknown(OSError()), None),
        (PoolTimeout("full"), None),
        (ConnectionResetError("of some other service"), None),
        (TimeoutError("the app's own"), None),
    ],
)
def test_an_error_is_a_reason_to_try_again_only_where_nothing_was_done(error: Any, reason: RetryReason | None) -> None:
    assert retry_reason(error) is reason


@pytest.mark.parametrize(
    ("dialect", "error", "is_open"),
    [
        ("postgresql", Reported("23503"), False),
        ("postgresql", Reported("40001"), False),
        ("postgresql", Reported("57P01", "FATAL"), True),
        ("postgresql", Reported("40003"), True),
        ("postgresql", Reported("08007"), True),
        ("postgresql", OSError("broken pipe"), True),
        ("mysql", Exception(1213, "Deadlock found"), False),
        ("mysql", Exception(2013, "Lost connection"), True),
        ("mariadb", Exception(1927, "Connection was killed"), True),
        ("mysql", Exception(1180, "Got error 121 during COMMIT"), True),
        ("sqlite", Exception("database is locked"), False),
    ],
)
def test_a_commit_is_in_doubt_unless_the_server_answered_for_certain(
    dialect: str, error: Exception, is_open: bool
) -> None:
    assert leaves_commit_open(dialect, error) is is_open
