"""Waits grow and are spread by chance; retries stay a share of the load."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolkeeper.policy import Budget, backoff
from poolkeeper.policy.retries import LONGEST, WINDOW


def test_a_wait_doubles_up_to_a_limit() -> None:
    assert [backoff(0.1, retry, 1.0) for retry in (1, 2, 3, 4)] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert backoff(0.1, 5000, 1.0) == LONGEST


@given(st.floats(0.001, 1), st.integers(1, 100), st.floats(0, 1))
def test_chance_picks_from_the_whole_wait(first: float, retry: int, dice: float) -> None:
    assert 0 <= backoff(first, retry, dice) <= backoff(first, retry, 1.0)
    assert backoff(first, retry, 0.0) == 0


def spent(budget: Budget, at: float) -> int:
    count = 0
    while budget.spend(at):
        count += 1
    return count


def test_who_has_done_nothing_yet_has_the_floor() -> None:
    assert spent(Budget(share=0.2, floor=10), 0.0) == 100
    assert spent(Budget(share=0.2, floor=0), 0.0) == 0


def test_first_attempts_earn_their_share() -> None:
    budget = Budget(share=0.2, floor=0)
    for number in range(100):
        budget.first(number / 100)
    assert spent(budget, 1.0) == 20


def test_neither_credit_nor_debt_outlives_the_window() -> None:
    budget = Budget(share=0.5, floor=1)
    for _ in range(1000):
        budget.first(0.0)
    assert spent(budget, WINDOW + 1) == 10
    assert spent(budget, 2 * WINDOW + 2) == 10


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=200), st.floats(0, 0.9))
def test_no_window_has_more_retries_than_its_share(steps: list[tuple[float, bool]], share: float) -> None:
    budget, now = Budget(share=share, floor=0.5), 0.0
    firsts: list[float] = []
    retries: list[float] = []
    for wait, is_first in steps:
        now += wait
        if is_first:
            budget.first(now)
            firsts.append(now)
        elif budget.spend(now):
            retries.append(now)
            within = [moment for moment in retries if moment > now - WINDOW + 1]
            earned = [moment for moment in firsts if moment > now - WINDOW]
            assert len(within) <= share * len(earned) + 0.5 * WINDOW + 1e-6
