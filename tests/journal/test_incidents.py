"""What is said about which snapshots: no pool, no clock."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.journal.moments import FULL, HOLDER, QUIET, after, events, held, told

from poolkeeper.model import CloseReason, ConnectTrouble, PoolSnapshot, Totals

OTHER = replace(HOLDER, id=2, task="Task-8", seconds=1.0)
LEAKED = replace(HOLDER, finished=True)
REFUSED = ConnectTrouble("refused", "connection refused", seconds=0.3, attempts=2)


# Saturation


@pytest.mark.parametrize(
    ("moments", "said"),
    [
        ([after(0), after(0.1, FULL), after(0.2)], []),
        ([after(0), after(0.1, FULL), after(0.6, FULL)], ["pool_saturated"]),
        ([after(0), after(0.1, FULL, oldest_waiter=0.4)], ["pool_saturated"]),
        ([after(0, FULL), after(1, FULL), after(2, FULL), after(3, FULL)], ["pool_saturated"]),
        ([after(0, FULL), after(1, FULL), after(2), after(2.5)], ["pool_saturated"]),
        ([after(0, FULL), after(1, FULL), after(2), after(3)], ["pool_saturated", "pool_relieved"]),
        ([after(0, FULL), after(1, FULL), after(2), after(2.5, FULL), after(3.2)], ["pool_saturated"]),
        ([after(0, FULL), after(0.1), after(0.3, FULL), after(0.4), after(5)], []),
        ([after(0, FULL, capacity=None), after(1, FULL, capacity=None)], []),
    ],
    ids=["a moment", "lasting", "a long wait", "once", "not calm yet", "over", "flickering", "flickers", "no limit"],
)
def test_saturation_is_told_when_it_lasts_and_when_it_is_over(moments: list[PoolSnapshot], said: list[str]) -> None:
    assert events(told(*moments)) == said


def test_saturation_names_the_longest_holder() -> None:
    (line,) = told(after(0, FULL), held(1, HOLDER, OTHER, waiting=3, oldest_waiter=1.0))
    assert line.extra() == {
        "event": "pool_saturated",
        "pool": "orders",
        "capacity": 2,
        "in_use": 2,
        "waiting": 3,
        "seconds": 1.05,
        "oldest_waiter": 1.0,
        "route": "GET /orders/{id}",
        "task": "Task-7",
        "site": "shop.py:42 in place",
        "held_seconds": 4.0,
    }
    assert "2 of 2 in use, 3 waiting" in line.message
    assert "GET /orders/{id} for 4.000 s from shop.py:42 in place" in line.message


def test_the_end_of_a_saturation_sums_it_up() -> None:
    before = Totals(waited=10, timed_out=1, refused=0)
    middle, later = Totals(waited=25, timed_out=3), Totals(waited=31, timed_out=5, refused=2)
    *_, line = told(
        after(0, totals=before),
        after(0.5, FULL, totals=middle),
        after(4, FULL, waiting=9, totals=later),
        after(5, totals=later),
        after(6, totals=replace(later, waited=90)),
    )
    counts = {"waited": 80, "timed_out": 4, "refused": 2, "most_waiting": 9}
    assert line.extra() == {"event": "pool_relieved", "pool": "orders", "seconds": 4.55, **counts}
    assert "after 4.5 s; 80 waited, 4 timed out, 2 refused, at most 9 waited at once" in line.message


def test_the_end_of_a_saturation_tells_why_callers_were_refused() -> None:
    before = Totals(refused=3, refusals={"max-waiting": 3})
    later = Totals(refused=8, refusals={"max-waiting": 4, "nobody-returns": 4})
    *_, line = told(
        after(0, FULL, totals=before), after(1, FULL, totals=later), *(after(at, totals=later) for at in (2, 3))
    )
    assert "5 refused (1 max-waiting, 4 nobody-returns), at most" in line.message
    fields = line.extra()
    assert (fields["refused"], fields["refused_max_waiting"], fields["refused_nobody_returns"]) == (5, 1, 4)


def test_what_a_pool_cannot_count_is_not_told_as_zero() -> None:
    unknown = frozenset({"totals.waited", "totals.timed_out"})
    lines = told(*(after(at, pool, unknown=unknown) for at, pool in ((0, FULL), (1, FULL), (2, QUIET), (3, QUIET))))
    assert not {"waited", "timed_out"} & lines[-1].extra().keys()
    assert "timed out" not in lines[-1].message


# Connects


def test_a_streak_of_failed_connects_has_a_first_and_a_last_line() -> None:
    def failures(count: int) -> Totals:
        return Totals(connect_failures={"refused": count})

    first, last = told(
        after(0, totals=failures(3)),
        after(0.5, connect_trouble=REFUSED, totals=failures(5)),
        after(1, connect_trouble=replace(REFUSED, seconds=0.8, attempts=4), totals=failures(7)),
        after(1.5, totals=failures(9)),
    )
    assert (first.event, last.event) == ("connects_failing", "connects_recovered")
    assert first.message == "orders: connects fail (refused): connection refused"
    assert (first.fields["attempts"], first.fields["kind"]) == (2, "refused")
    assert last.message == "orders: connects succeed again after 1.3 s and 6 failed attempts"
    assert (last.fields["attempts"], last.fields["seconds"]) == (6, 1.3)


def test_a_failure_between_two_looks_is_told() -> None:
    (line,) = told(after(0), after(1, totals=Totals(connect_failures={"dns": 1})), after(2))
    assert line.event == "connects_recovered"
    assert line.message == "orders: connects succeed again after 1 failed attempt"


def test_failures_before_the_first_look_are_no_news() -> None:
    totals = Totals(connect_failures={"dns": 4})
    assert told(after(0, totals=totals), after(1, totals=totals)) == []


# Nested checkouts


def test_a_nested_checkout_is_told_once_with_both_sites() -> None:
    waits = replace(HOLDER, waits_at="shop.py:50 in audit")
    (line,) = told(held(0, waits), held(1, waits), held(2, waits, OTHER))
    assert line.event == "nested_checkout"
    assert (line.fields["site"], line.fields["waits_at"]) == ("shop.py:42 in place", "shop.py:50 in audit")
    assert "taken at shop.py:42 in place and asks for another one at shop.py:50 in audit" in line.message


# Long holds


def test_a_long_hold_is_told_once_per_checkout() -> None:
    again = replace(HOLDER, id=3, seconds=-20.0)
    lines = told(held(6, HOLDER), held(7, HOLDER, OTHER), held(9, HOLDER), held(9.5), held(28, again), held(31, again))
    assert [(line.event, line.fields["seconds"]) for line in lines] == [
        ("connection_held_long", 10.0),
        ("connection_held_long", 11.0),
    ]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, "from"),
        ({"in_sql": True, "state_seconds": 11.5, "statement": "SELECT ?"}, "waited for the database for 11.5 s"),
        (
            {"in_sql": False, "state_seconds": 9.0, "in_transaction": True, "awaiting": ("a.py:1 in f", "sleep")},
            "sent no statement for 9.0 s, inside a transaction, awaiting sleep",
        ),
    ],
    ids=["not known", "in SQL", "in a gap"],
)
def test_a_long_hold_says_what_goes_on(state: dict, said: str) -> None:
    (line,) = told(held(9, replace(HOLDER, **state)))
    assert line.message.startswith("orders: GET /orders/{id} has held a connection for 12.0 s, taken at shop.py:42")
    assert said in line.message or not state


def test_without_numbers_checkouts_are_told_apart_by_who_where_and_when() -> None:
    unnumbered = replace(HOLDER, id=0)
    other = replace(unnumbered, site="shop.py:60 in other")
    assert len(told(held(8, unnumbered, other), held(9, unnumbered, other), held(10, unnumbered))) == 2


def test_nothing_is_long_for_infinity() -> None:
    assert told(held(1e6, HOLDER), slow_hold=math.inf) == []


# Leaks


def collected(count: int) -> dict:
    return {"closed": {CloseReason.LEAKED: count}}


@pytest.mark.parametrize(
    ("moments", "said"),
    [
        ([held(0, HOLDER), held(1, LEAKED), held(1.5)], []),
        ([held(0, HOLDER), held(1, LEAKED), held(2, LEAKED), held(20, LEAKED)], ["connection_leaked"]),
        (
            [held(0, LEAKED), held(1, LEAKED), held(2)],
            ["connection_leaked", "connection_leak_retracted"],
        ),
        ([held(0, LEAKED), held(1, LEAKED), held(2, **collected(1))], ["connection_leaked"]),
        ([held(0, LEAKED), held(1, LEAKED), held(2, **collected(2))], ["connection_leaked", "connection_leaked"]),
        ([held(0), held(1, **collected(1)), held(2, **collected(1))], ["connection_leaked"]),
        ([held(0, **collected(4)), held(1, **collected(4))], []),
        (
            [
                held(at, *holders, unknown=frozenset({"closed"}))
                for at, holders in ((0, [LEAKED]), (1, [LEAKED]), (2, []))
            ],
            ["connection_leaked"],
        ),
    ],
    ids=["handed on", "once", "came back", "collected", "two collected", "unseen", "before", "cannot tell"],
)
def test_leaks_and_their_retraction(moments: list[PoolSnapshot], said: list[str]) -> None:
    assert events(told(*moments)) == said


def test_a_leak_names_who_took_the_connection_and_its_retraction_too() -> None:
    leaked, retracted = told(held(0, LEAKED), held(1, LEAKED), held(2))
    assert leaked.message == (
        "orders: leak: GET /orders/{id} has ended without giving back the connection that it took at "
        "shop.py:42 in place 4.0 s ago"
    )
    assert retracted.message == (
        "orders: no leak: the connection that GET /orders/{id} took at shop.py:42 in place came back after 5.0 s"
    )
    for line in (leaked, retracted):
        assert line.fields["site"] == "shop.py:42 in place"


def test_what_the_garbage_collector_found_is_attributed_only_where_that_is_certain() -> None:
    (sure,) = told(held(0, HOLDER), held(0.5, **collected(1)))
    assert sure.fields["route"] == "GET /orders/{id}"
    (doubtful,) = told(held(0, HOLDER, OTHER), held(0.5, **collected(1)))
    assert "route" not in doubtful.fields
    assert doubtful.fields["count"] == 1


# The rate limit


def test_of_many_alike_a_few_are_told_and_the_rest_are_counted() -> None:
    many = [replace(HOLDER, id=number, task=f"Task-{number}", seconds=20.0) for number in range(10)]
    lines = told(held(0, *many), held(30, replace(HOLDER, id=99, seconds=0.0)), burst=3, per=60.0)
    assert len(lines) == 3
    lines = told(held(0, *many), held(60, replace(HOLDER, id=99, seconds=0.0)), burst=3, per=60.0)
    assert len(lines) == 4
    assert lines[-1].fields["suppressed"] == 7
    assert lines[-1].message.endswith("(suppressed 7 like this before it)")


def test_another_site_has_a_limit_of_its_own() -> None:
    places = [replace(HOLDER, id=number, site=f"shop.py:{number} in f", seconds=20.0) for number in range(1, 6)]
    assert len(told(held(0, *places), burst=1)) == 5


def test_of_what_was_not_told_the_end_is_not_told() -> None:
    moments = []
    for number in range(4):
        at = number * 10.0
        moments += [after(at, FULL), after(at + 1, FULL), after(at + 2), after(at + 3)]
    assert events(told(*moments, burst=2)) == ["pool_saturated", "pool_relieved"] * 2


def test_the_limit_remembers_a_bounded_number_of_subjects() -> None:
    places = [replace(HOLDER, id=number, site=f"shop.py:{number} in f", seconds=20.0) for number in range(1, 1001)]
    assert len(told(held(0, *places), burst=1)) == 1000


def test_every_value_is_plain() -> None:
    waits = replace(LEAKED, waits_at="b.py:1 in g", backend=4, in_sql=True, statement="SELECT ?", awaiting=("x",))
    lines = told(
        held(0, waits, connect_trouble=REFUSED),
        held(20, waits, replace(HOLDER, id=5), waiting=1, oldest_waiter=1.0),
        held(30),
    )
    assert len(set(events(lines))) == 7
    for line in lines:
        assert all(type(value) in (str, int, float, bool) for value in line.extra().values())
