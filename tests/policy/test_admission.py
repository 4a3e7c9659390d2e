from __future__ import annotations

import pytest

from poolkeeper.model import RefusalReason
from poolkeeper.policy import Admission, Refusal, Terms


def verdict(
    admission: Admission, now: float, waiting: int, *, capacity: int = 10, in_use: int | None = None, spent: float = 0.0
) -> Refusal | None:
    """On somebody who comes to a full pool, or one with so many connections in use."""
    used = capacity if in_use is None else in_use
    return admission.refusal(now, waiting, capacity, used, admission.terms_to_queue(spent))


def busy(admission: Admission, *, pace: float, served: int = 200) -> float:
    """A queue that has moved at this pace; returns the time."""
    verdict(admission, 0.0, 1)
    for number in range(1, served + 1):
        admission.served(number * pace)
    return served * pace


def test_nobody_is_refused_while_nothing_is_known():
    admission = Admission(timeout=1, client_timeout=None, max_waiting=None)
    assert verdict(admission, 0.0, 10_000) is None


def test_whoever_would_wait_too_long_is_refused_at_once():
    admission = Admission(timeout=1, client_timeout=None, max_waiting=None)
    now = busy(admission, pace=0.01)
    assert verdict(admission, now, 98) is None
    refusal = verdict(admission, now, 149)
    assert refusal is not None
    assert refusal.reason is RefusalReason.PREDICTED_WAIT
    assert refusal.predicted_wait == pytest.approx(1.5)
    assert refusal.retry_after == pytest.approx(0.5)


def test_holds_tell_the_pace_before_the_queue_has_moved():
    admission = Admission(timeout=1, client_timeout=None, max_waiting=None)
    for _ in range(100):
        admission.held(0.1)
    assert verdict(admission, 0.0, 98) is None
    assert verdict(admission, 0.0, 100) is not None


def test_a_leaked_connection_does_not_make_the_queue_look_slow():
    admission = Admission(timeout=1, client_timeout=None, max_waiting=None)
    now = busy(admission, pace=0.01)
    admission.held(600.0)
    assert verdict(admission, now, 90) is None


def test_a_stalled_database_is_noticed_although_nobody_comes_back():
    admission = Admission(timeout=1, client_timeout=None, max_waiting=None)
    now = busy(admission, pace=0.01)
    assert verdict(admission, now + 0.05, 50) is None
    assert verdict(admission, now + 5, 50) is not None


def test_with_no_connection_out_the_queue_waits_for_the_database_and_is_not_slow():
    admission = Admission(timeout=1, client_timeout=None, max_waiting=None)
    now = busy(admission, pace=0.001)
    assert verdict(admission, now + 5, 50, in_use=0) is None


def test_max_waiting_bounds_the_queue():
    admission = Admission(timeout=30, client_timeout=None, max_waiting=5)
    assert verdict(admission, 0.0, 4) is None
    refusal = verdict(admission, 0.0, 5)
    assert refusal is not None
    assert refusal.reason is RefusalReason.MAX_WAITING


def test_the_patience_of_clients_counts_the_answer_too():
    admission = Admission(timeout=30, client_timeout=2, max_waiting=None)
    for _ in range(100):
        admission.held(0.3)
    assert admission.patience == pytest.approx(1.5)
    assert admission.longest_wait == pytest.approx(1.8)


def test_a_burst_may_fill_the_queue_and_a_standing_queue_may_not():
    admission = Admission(timeout=30, client_timeout=2, max_waiting=None)
    admission.held(0.01)
    now = busy(admission, pace=0.01, served=20)
    assert verdict(admission, now, 100) is None
    now = busy(admission, pace=0.01, served=100)
    assert verdict(admission, now, 100) is not None
    assert verdict(admission, now, 40) is None
    admission.emptied()
    assert verdict(admission, now, 100) is None


def test_callers_who_only_waited_for_a_connect_do_not_slow_the_prediction() -> None:
    admission = Admission(timeout=30.0, client_timeout=None, max_waiting=None)
    long_after_boot = 100_000.0
    for number in range(20):
        admission.served(long_after_boot + number)
        admission.held(0.05)

    assert verdict(admission, long_after_boot + 20, 20, capacity=20) is None


def test_what_a_caller_has_waited_for_before_counts() -> None:
    admission = Admission(timeout=30, client_timeout=2, max_waiting=None)
    admission.held(0.1)
    now = busy(admission, pace=0.01, served=20)
    assert admission.patience_after(1.0) == pytest.approx(0.7)
    assert verdict(admission, now, 60, spent=1.0) is None
    assert verdict(admission, now, 80, spent=1.0) is not None
    assert verdict(admission, now, 80) is None


def test_for_whom_an_answer_would_come_too_late_there_is_no_place_however_short_the_queue() -> None:
    admission = Admission(timeout=30, client_timeout=2, max_waiting=None)
    refusal = verdict(admission, 0.0, 0, spent=1.9)
    assert refusal is not None
    assert refusal.reason is RefusalReason.PREDICTED_WAIT
    assert refusal.retry_after == 0


@pytest.mark.parametrize("slow", [6, 16, 32])
def test_time_for_the_slow_is_left_where_most_are_fast(slow: int) -> None:
    admission = Admission(timeout=30, client_timeout=5, max_waiting=None)
    for number in range(64):
        admission.held(2.0 if number * slow % 64 < slow else 0.01)
    assert admission.answer == 2.0
    assert admission.patience == pytest.approx(2.5)


def test_a_few_that_were_held_for_ever_do_not_make_all_answers_slow() -> None:
    admission = Admission(timeout=30, client_timeout=2, max_waiting=None)
    for number in range(64):
        admission.held(600.0 if number % 32 == 0 else 0.01)
    assert admission.patience == pytest.approx(1.79)


def test_without_a_patience_of_clients_nothing_is_taken_from_the_timeout() -> None:
    admission = Admission(timeout=30, client_timeout=None, max_waiting=None)
    admission.held(20.0)
    assert admission.patience_after(29.0) == 30
    assert verdict(admission, 0.0, 0, spent=1000.0) is None


def test_who_would_wait_in_vain_is_told_how_long_and_to_come_back_after_a_hold() -> None:
    admission = Admission(timeout=30, client_timeout=2, max_waiting=None)
    for _ in range(10):
        admission.held(0.3)
    refusal = admission.futile(admission.terms_to_queue(1.0))
    assert refusal.reason is RefusalReason.NOBODY_RETURNS
    assert refusal.predicted_wait == pytest.approx(0.5)
    assert refusal.retry_after == pytest.approx(0.3)


def test_who_waits_for_a_connect_is_as_patient_as_its_caller_unless_that_has_left() -> None:
    admission = Admission(timeout=30, client_timeout=2, max_waiting=None)
    admission.held(1.0)
    assert admission.terms_to_connect(0.5, limit=10.0) == Terms(pytest.approx(1.3))
    assert admission.terms_to_connect(5.0, limit=10.0) == Terms(pytest.approx(1.8))
    assert not admission.is_too_late(1000.0, admission.terms_to_connect(0.5, limit=10.0).useful)


def test_where_nobody_may_wait_for_others_a_connect_takes_what_it_may() -> None:
    admission = Admission(timeout=0, client_timeout=None, max_waiting=None)
    assert admission.terms_to_connect(0.0, limit=10.0) == Terms(10.0)


def test_who_waits_for_others_is_judged_again_by_what_an_answer_needs_then() -> None:
    admission = Admission(timeout=30, client_timeout=2, max_waiting=None)
    terms = admission.terms_to_queue(0.5)
    assert terms == Terms(pytest.approx(1.3), pytest.approx(1.3))
    assert not admission.is_too_late(1.2, terms.useful)
    admission.held(0.2)
    assert admission.is_too_late(1.2, terms.useful)
