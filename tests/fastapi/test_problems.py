"""Which trouble a client is told of, and in which words."""

import json
import re

import pytest
from sqlalchemy import exc

from poolkeeper import (
    CommandTimeout,
    CommitRefused,
    CommitUnknown,
    ConcurrentSessionUse,
    ConnectFailed,
    ConnectFailure,
    PoolClosed,
    ReadOnlySession,
    SessionAcrossStream,
    SessionReleased,
)
from poolkeeper.fastapi.health import reason_of
from poolkeeper.fastapi.problems import problem_of

SECRET = OSError("no route to db.internal:5432 for shop, password hunter2")


class StatementTimeout(Exception):
    """As a driver of PostgreSQL raises it."""

    sqlstate = "57014"

    def __str__(self) -> str:
        return "canceling statement due to statement timeout"


def invalidated(orig: BaseException) -> exc.DBAPIError:
    return exc.OperationalError("SELECT 'hunter2'", {"p": "hunter2"}, orig, connection_invalidated=True)


TROUBLE: dict[str, Exception] = {
    **{reason.name: ConnectFailed(reason, SECRET, "shop@db.internal:5432/x") for reason in ConnectFailure},
    "silent server": CommandTimeout(5, SECRET),
    "no free connection": exc.TimeoutError("QueuePool limit of size 5 reached on db.internal"),
    "shutdown": PoolClosed("Database 'db.internal' is shut down"),
    "statement timeout": exc.DBAPIError("SELECT 'hunter2'", {}, StatementTimeout()),
    "lost answer": CommitUnknown(SECRET),
    "disconnect": invalidated(SECRET),
}
each_trouble = pytest.mark.parametrize("error", TROUBLE.values(), ids=TROUBLE)


def test_each_kind_of_trouble_has_a_type_of_its_own() -> None:
    kinds = [problem.kind for error in TROUBLE.values() if (problem := problem_of(error))]
    assert len(set(kinds)) == len(TROUBLE)


@each_trouble
def test_a_response_is_problem_json_and_tells_no_secret(error: Exception) -> None:
    problem = problem_of(error)
    assert problem is not None
    response = problem.response()
    body = json.loads(bytes(response.body))
    assert response.status_code == body["status"] == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"urn:poolkeeper:problem:{problem.kind}"
    assert set(body) == {"type", "title", "status"}
    assert not re.search(r"hunter2|db\.internal|shop|5432|SELECT|[a-z]\.[a-z]", body["title"])
    assert response.headers.get("retry-after") == (str(problem.retry_after) if problem.retry_after else None)


@pytest.mark.parametrize("name", ["silent server", "lost answer", "disconnect", "AUTHENTICATION", "statement timeout"])
def test_nobody_is_invited_to_repeat_what_may_be_done_or_cannot_work(name: str) -> None:
    problem = problem_of(TROUBLE[name])
    assert problem is not None
    assert problem.retry_after is None


@pytest.mark.parametrize(
    "error",
    [
        exc.IntegrityError("INSERT", {}, Exception("duplicate key")),
        exc.ProgrammingError("SELECT nonsense", {}, Exception("no such column")),
        CommitRefused("x"),
        ReadOnlySession("x"),
        SessionReleased("x"),
        SessionAcrossStream("x"),
        ConcurrentSessionUse("x"),
        TimeoutError("the app's own"),
        ConnectionRefusedError("of some other service"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_no_trouble_with_reaching_the_database_is_left_alone(error: Exception) -> None:
    assert problem_of(error) is None


def test_a_connection_that_broke_in_a_statement_timeout_is_still_a_statement_timeout() -> None:
    problem = problem_of(invalidated(StatementTimeout()))
    assert problem is not None
    assert problem.kind == "statement-timeout"


def test_health_speaks_the_same_words() -> None:
    assert reason_of(TROUBLE["DNS"]) == "connect-dns"
    assert reason_of(TimeoutError()) == "timeout"
    assert reason_of(exc.ProgrammingError("SELECT 1", {}, Exception())) == "database-error"
