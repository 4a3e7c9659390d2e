from __future__ import annotations

import pytest

from poolkeeper.policy import Outage
from poolkeeper.policy.outage import FIRST_DELAY, IDLE_DELAY, IDLE_SHARE, NEWS_FOR, PATIENT_DELAY, SURE_AFTER

ERROR = OSError("refused")


def test_the_first_failure_is_tried_again_at_once():
    assert Outage(grace=5).failed(ERROR, now=0, seconds=0, dice=1, curable=True) == 0


def test_pauses_grow_to_what_patient_callers_bear():
    outage = Outage(grace=5)
    pauses = [outage.failed(ERROR, now=number / 10, seconds=0, dice=1, curable=True) for number in range(20)]
    assert pauses[1] == FIRST_DELAY * 4
    assert pauses == sorted(pauses)
    assert pauses[-1] == PATIENT_DELAY


def test_pauses_are_longer_once_nobody_waits():
    outage = Outage(grace=5)
    for number in range(60):
        pause = outage.failed(ERROR, now=number / 5, seconds=0, dice=1, curable=True)
    assert pause == IDLE_DELAY


def pause_after(seconds: float, grace: float) -> float:
    """The longest pause in an outage that has lasted so long, after many attempts."""
    outage = Outage(grace)
    for number in range(41):
        pause = outage.failed(ERROR, now=number * seconds / 40, seconds=0, dice=1, curable=True)
    return pause


def test_a_young_outage_is_looked_at_more_often_than_an_old_one():
    assert pause_after(0.2, grace=0.1) == PATIENT_DELAY
    assert pause_after(2.0, grace=1.5) == pytest.approx(2.0 * IDLE_SHARE)
    assert pause_after(60.0, grace=1.5) == IDLE_DELAY


def test_what_waiting_does_not_cure_is_not_tried_more_often_at_first():
    outage = Outage(grace=5)
    pauses = [outage.failed(ERROR, now=0.1, seconds=0, dice=1, curable=False) for _ in range(20)]
    assert pauses[-1] == IDLE_DELAY


@pytest.mark.parametrize("dice", [0.0, 0.3, 1.0])
def test_the_dice_spread_the_attempts_of_many_processes(dice: float):
    outage = Outage(grace=100)
    for number in range(20):
        pause = outage.failed(ERROR, now=number, seconds=0, dice=dice, curable=True)
    assert pause == pytest.approx(PATIENT_DELAY * (0.5 + dice / 2))


def test_an_outage_lasts_when_its_grace_is_over():
    outage = Outage(grace=5)
    outage.failed(ERROR, now=100, seconds=0, dice=0, curable=True)
    assert not outage.is_lasting(104.9)
    assert outage.is_lasting(105)


def test_what_waiting_does_not_cure_lasts_after_a_few_attempts():
    outage = Outage(grace=5)
    for _ in range(SURE_AFTER - 1):
        assert outage.failed(ERROR, now=0, seconds=0, dice=1, curable=False) == 0
        assert not outage.is_lasting(0)
    assert outage.failed(ERROR, now=0, seconds=0, dice=1, curable=False) > 0
    assert outage.is_lasting(0)


def test_a_success_ends_it():
    outage = Outage(grace=0)
    outage.failed(ERROR, now=0, seconds=0, dice=0, curable=True)
    outage.ended()
    assert not outage.is_lasting(100)
    assert outage.error is None


def test_an_old_failure_is_no_news():
    outage = Outage(grace=5)
    outage.failed(ERROR, now=100, seconds=10, dice=0, curable=True)
    assert outage.is_news(100 + 10 + NEWS_FOR - 0.1)
    assert not outage.is_news(100 + 10 + NEWS_FOR)
