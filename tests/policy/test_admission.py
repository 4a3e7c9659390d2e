from __future__ import annotations

import pytest

from poolkeeper.policy import Admission, RefusalReason


def busy(admission: Admission, *, pace: float, served: int = 200) -> float:
    """A queue that has moved at this pace; returns the time."""
    admission.refusal(0.0, 1, 10, 10)
    for number in range(1, served + 1):
        admission.served(number * pace)
    return served * pace


def test_nobody_is_refused_while_nothing_is_known():
    assert Admission(timeout=1, client_timeout=None, max_waiting=None).refusal(0.0, 10_000, 10, 10) is None


def test_whoever_would_wait_too_long_is_refused_at_once():
    admission = Admission(timeout=1, client_timeout=None, max_waiting=None)
    now = busy(admission, pace=0.01)
    assert admission.refusal(now, 98, 10, 10) is None
    refusal = admission.refusal(now, 149, 10, 10)
    assert refusal is not None
    assert refusal.reason is RefusalReason.PREDICTED_WAIT
    assert refusal.predicted_wait == pytest.approx(1.5)
    assert refusal.retry_after == pytest.approx(0.5)


def test_holds_tell_the_pace_before_the_queue_has_moved():
    admission = Admission(timeout=1, client_timeout=None, max_waiting=None)
    for _ in range(100):
        admission.held(0.1)
    assert admission.refusal(0.0, 98, 10, 10) is None
    assert admission.refusal(0.0, 100, 10, 10) is not None


def test_a_leaked_connection_does_not_make_the_queue_look_slow():
    admission = Admission(timeout=1, client_timeout=None, max_waiting=None)
    now = busy(admission, pace=0.01)
    admission.held(600.0)
    assert admission.refusal(now, 90, 10, 10) is None


def test_a_stalled_database_is_noticed_although_nobody_comes_back():
    admission = Admission(timeout=1, client_timeout=None, max_waiting=None)
    now = busy(admission, pace=0.01)
    assert admission.refusal(now + 0.05, 50, 10, 10) is None
    assert admission.refusal(now + 5, 50, 10, 10) is not None


def test_with_no_connection_out_the_queue_waits_for_the_database_and_is_not_slow():
    admission = Admission(timeout=1, client_timeout=None, max_waiting=None)
    now = busy(admission, pace=0.001)
    assert admission.refusal(now + 5, 50, 10, 0) is None


def test_max_waiting_bounds_the_queue():
    admission = Admission(timeout=30, client_timeout=None, max_waiting=5)
    assert admission.refusal(0.0, 4, 10, 10) is None
    refusal = admission.refusal(0.0, 5, 10, 10)
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
    assert admission.refusal(now, 100, 10, 10) is None
    now = busy(admission, pace=0.01, served=100)
    assert admission.refusal(now, 100, 10, 10) is not None
    assert admission.refusal(now, 40, 10, 10) is None
    admission.emptied()
    assert admission.refusal(now, 100, 10, 10) is None


def test_callers_who_only_waited_for_a_connect_do_not_slow_the_prediction() -> None:
    admission = Admission(timeout=30.0, client_timeout=None, max_waiting=None)
    long_after_boot = 100_000.0
    for number in range(20):
        admission.served(long_after_boot + number)
        admission.held(0.05)

    assert admission.refusal(long_after_boot + 20, waiting=20, capacity=20, in_use=20) is None


def test_what_a_caller_has_waited_for_before_counts() -> None:
    admission = Admission(timeout=30, client_timeout=2, max_waiting=None)
    admission.held(0.1)
    now = busy(admission, pace=0.01, served=20)
    assert admission.patience_after(1.0) == pytest.approx(0.7)
    assert admission.refusal(now, 60, 10, 10, spent=1.0) is None
    assert admission.refusal(now, 80, 10, 10, spent=1.0) is not None
    assert admission.refusal(now, 80, 10, 10) is None


def test_for_whom_an_answer_would_come_too_late_there_is_no_place_however_short_the_queue() -> None:
    admission = Admission(timeout=30, client_timeout=2, max_waiting=None)
    refusal = admission.refusal(0.0, 0, 10, 10, spent=1.9)
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
    assert admission.refusal(0.0, 0, 10, 10, spent=1000.0) is None


def test_who_would_wait_in_vain_is_told_how_long_and_to_come_back_after_a_hold() -> None:
    admission = Admission(timeout=30, client_timeout=2, max_waiting=None)
    for _ in range(10):
        admission.held(0.3)
    refusal = admission.futile(1.0)
    assert refusal.reason is RefusalReason.NOBODY_RETURNS
    assert refusal.predicted_wait == pytest.approx(0.5)
    assert refusal.retry_after == pytest.approx(0.3)
