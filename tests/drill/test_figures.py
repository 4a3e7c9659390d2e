from __future__ import annotations

import json

import pytest
from tests.drill.made_up import failed, observed, ok, refused, samples

from poolkeeper.drill.connects import Connect
from poolkeeper.drill.figures import Books, Figures, Observed, figures_of
from poolkeeper.drill.phased import Outcome

TIMEOUT = Outcome("read", 1.5, 3.0, None, "timeout")


def figures(seen: Observed) -> Figures:
    return figures_of(seen, {})


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (ok(0), "ok"),
        (refused(0), "refused"),
        (failed(0), "failed"),
        (TIMEOUT, "failed"),
        (Outcome("read", 0, 0.1, 503, "status 503"), "failed"),
        (Outcome("abandoned", 0, 0.03, None, "timeout"), "left"),
        (Outcome("abandoned", 0, 0.01, 200), "ok"),
        (Outcome("abandoned", 0, 0.01, 500, "status 500"), "failed"),
    ],
)
def test_a_request_is_ok_refused_failed_or_left_by_its_caller(outcome: Outcome, kind: str) -> None:
    assert outcome.kind == kind


def test_each_kind_is_counted_and_latencies_are_those_of_successes() -> None:
    left = Outcome("abandoned", 0.2, 0.03, None, "timeout")
    found = figures(observed(ok(0, 0.1), ok(0.1, 0.3), refused(0.2, 0.05), failed(0.3, 9.0), left))
    assert (found.requests, found.ok, found.refused, found.failed) == (4, 2, 1, 1)
    assert (found.max_ms, found.refused_ms) == (300.0, 50.0)
    assert found.by_error == {"status 500": 1, "status 503": 1}


def test_the_longest_gap_counts_from_the_first_request_to_the_last_one_due() -> None:
    assert figures(observed(ok(0, 0.1), failed(0.5), ok(1.5, 0.1), ok(2.0, 0.1))).longest_gap == 1.5
    assert figures(observed(ok(0, 0.1), failed(3.0))).longest_gap == 2.9
    assert figures(observed(failed(0), failed(3.0))).longest_gap == 3.0
    assert figures(observed()).longest_gap == 0


def test_healthy_again_is_when_the_last_request_that_did_not_succeed_was_due() -> None:
    after = [ok(2.5), ok(3.5)]
    assert figures(observed(failed(1.5), *after)).healthy_after == 0
    assert figures(observed(failed(2.4), refused(2.8), *after)).healthy_after == 0.8
    # It was due before the end of the fault, and failed after it.
    assert figures(observed(TIMEOUT, *after)).healthy_after == 0
    assert figures(observed(ok(2.5), failed(3.4), ok(3.5))).healthy_after is None


def test_the_rate_of_connects_is_that_of_100_ms() -> None:
    found = figures(observed(ok(0), samples=samples(4, 4, 6, 9, 9, 9, 10)))
    assert (found.connects, found.connects_in_100_ms) == (6, 5)


def test_connects_at_once_are_those_under_way_and_nobody_knows_where_they_are_encrypted() -> None:
    one_after_the_other = tuple(Connect(at, at + 1) for at in range(10))
    assert figures(observed(ok(0), connecting=one_after_the_other)).connects_at_once == 1
    both = (*one_after_the_other, Connect(1.2, 1.8))
    assert figures(observed(ok(0), connecting=both)).connects_at_once == 2
    assert figures(observed(ok(0), connecting=(*both, Connect(20, 21, encrypted=True)))).connects_at_once is None


def test_what_is_wrong_with_the_books_is_added_up() -> None:
    found = figures(observed(ok(0), books=Books(missing=2, doubled=1, off=3)))
    assert found.wrong == 6


def test_slots_are_what_the_pool_can_still_give() -> None:
    assert figures(observed(ok(0), in_use=3)).slots_left == 17
    assert figures(observed(ok(0), in_use=None)).slots_left is None


def test_the_curve_adds_up_to_the_totals() -> None:
    found = figures(observed(*(ok(moment / 20) for moment in range(40)), failed(0.6), samples=samples(*range(40))))
    assert sum(point.ok for point in found.curve) / 4 == 40
    assert sum(point.failed for point in found.curve) / 4 == 1
    assert found.curve[0].connections == 5
    assert found.trouble == (1.0, 2.0)


def test_figures_are_plain_values() -> None:
    found = figures(observed(ok(0), failed(0.5), samples=samples(1, 2)))
    assert json.loads(json.dumps(found.as_dict()))["failed"] == 1


def test_those_under_way_between_two_marks_are_met_by_what_happened_then() -> None:
    before, across, inside, after = ok(0, 0.9), ok(0.5, 0.6), ok(1.1, 0.1), ok(2.1)
    assert observed(before, across, inside, after).during("fault", "over") == [across, inside]
