"""Why a look found nothing, in words without secrets."""

from __future__ import annotations

from sqlalchemy import exc

from poolkeeper.drivers import classify_connect_failure, is_statement_timeout
from poolkeeper.errors import CommandTimeout, ConnectFailed, ConnectFailure
from poolkeeper.settings.masking import masked_text

_LONGEST = 200


def problem_of(error: BaseException) -> str:
    """The error on one line: what it is where that is known, and what the driver said."""
    if isinstance(error, CommandTimeout):
        return f"no answer within {error.seconds:g} s"
    if is_statement_timeout(error):
        return "the server ended the look, which took too long"
    if isinstance(error, ConnectFailed):
        reason = error.reason
        known = "" if reason is ConnectFailure.OTHER else f" ({reason.value.replace('-', ' ')})"
        return f"could not connect{known}: {_said(error)}"
    return _said(error)


def is_silence(error: BaseException | None) -> bool:
    """Whether nobody answered, or not in time."""
    if isinstance(error, ConnectFailed):
        return error.reason is ConnectFailure.TIMEOUT
    return isinstance(error, (TimeoutError, CommandTimeout))


def problem_of_console(error: BaseException) -> str:
    """The same for PgBouncer's console, whose errors come as psycopg raises them."""
    reason = classify_connect_failure(error)
    known = "" if reason is ConnectFailure.OTHER else f" ({reason.value.replace('-', ' ')})"
    return f"PgBouncer's console{known}: {_said(error)}"


def _said(error: BaseException) -> str:
    said = error.orig if isinstance(error, exc.StatementError) and error.orig is not None else error
    text = masked_text(" ".join(str(said).split())) or type(said).__name__
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
