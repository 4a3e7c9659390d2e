"""What an error says about the connection that it came from."""

from __future__ import annotations

from enum import Enum

from poolkeeper.drivers.codes import ends_no_session, number_of, sqlstate_of
from poolkeeper.facts import sqlstates

_OPTION_PREVENTS = 1290
_GONE_STATES = sqlstates.STARTING_OR_STOPPING.value | sqlstates.SESSION_ENDED.value
_GONE_NUMBERS = (
    sqlstates.MYSQL_CONNECTION_LOST.value
    | sqlstates.MYSQL_STOPPING.value
    | sqlstates.MYSQL_KILLED.value
    | sqlstates.MYSQL_SILENT_TOO_LONG.value
)


class Evidence(Enum):
    """The connection is gone, or its server takes no writes."""

    GONE = "gone"
    READ_ONLY = "read-only"


def evidence_of(error: BaseException) -> Evidence | None:
    """What this error proves, None where it is about a statement only."""
    state, number = sqlstate_of(error), number_of(error)
    if number == _OPTION_PREVENTS and "read" not in str(error):
        # --secure-file-priv, say: about this statement only.
        return None
    if state in sqlstates.READ_ONLY.value or number in sqlstates.MYSQL_READ_ONLY.value:
        return Evidence.READ_ONLY
    if state in _GONE_STATES or number in _GONE_NUMBERS:
        return Evidence.GONE
    if state is None or state[:2] not in sqlstates.CONNECTION_CLASS.value:
        return None
    # A message that does not fit the prepared statement, say, is a violation of the protocol that hurts nobody else.
    return None if ends_no_session(error) else Evidence.GONE
