from __future__ import annotations

import heapq
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolkeeper.planner.erlang import erlang_b
from poolkeeper.planner.losses import losses, standing_queue
from poolkeeper.planner.numbers import BadNumber
from poolkeeper.planner.queueing import waits
from poolkeeper.policy import Admission

HOLD = 0.05


def birth_and_death(rate: float, servers: int, places: int) -> list[float]:
    """M/M/c/K the long way: the probability of each number of callers."""
    weights = [1.0]
    for number in range(1, servers + places + 1):
        weights.append(weights[-1] * rate * HOLD / min(number, servers))
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize(("rate", "servers", "places"), [(100, 10, 5), (190, 10, 30), (500, 10, 12), (15, 1, 4)])
def test_a_bounded_queue_refuses_as_its_balance_says(rate: float, servers: int, places: int) -> None:
    states = birth_and_death(rate, servers, places)
    found = losses(rate, HOLD, servers, timeout=None, max_waiting=places)
    assert found.refused == pytest.approx(states[-1], rel=1e-9)
    assert found.refusals_per_second == pytest.approx(rate * states[-1], rel=1e-9)
    waiting = sum(number * share for number, share in enumerate(states[servers:]))
    assert found.mean_wait == pytest.approx(waiting / rate / (1 - states[-1]), rel=1e-9)
    assert found.utilisation == pytest.approx(
        sum(min(number, servers) * share for number, share in enumerate(states)) / servers, rel=1e-9
    )


def test_with_one_place_the_states_can_be_counted_by_hand() -> None:
    rate, servers, timeout = 190.0, 10, 0.004
    # Whoever has the place leaves it for the first connection that comes back, or when its time is up.
    gone = math.exp(-servers * timeout / HOLD)
    below = [(rate * HOLD) ** number / math.factorial(number) for number in range(servers + 1)]
    with_one_waiting = below[-1] * rate * HOLD / servers * (1 - gone)
    whole = sum(below) + with_one_waiting
    found = losses(rate, HOLD, servers, timeout=timeout, max_waiting=1)
    assert found.refused == pytest.approx(with_one_waiting / whole, rel=1e-9)
    assert found.timed_out == pytest.approx(below[-1] / whole * gone, rel=1e-9)


def lost_one_by_one(rate: float, servers: int, places: int, timeout: float, callers: int) -> tuple[float, float, float]:
    """The shares refused and timed out, and the mean wait of the served, of callers followed one after the other."""
    dice = np.random.default_rng(5)
    arrivals, holds = np.cumsum(dice.exponential(1 / rate, callers)), dice.exponential(HOLD, callers)
    free, leaving = [0.0] * servers, []
    refused, timed_out, waited = 0, 0, []
    for arrival, hold in zip(arrivals.tolist(), holds.tolist(), strict=True):
        leaving = [moment for moment in leaving if moment > arrival]
        begins = max(arrival, free[0])
        if begins > arrival and len(leaving) >= places:
            refused += 1
        elif begins > arrival + timeout:
            timed_out += 1
            leaving.append(arrival + timeout)
        else:
            waited.append(begins - arrival)
            leaving.append(begins)
            heapq.heapreplace(free, begins + hold)
    return refused / callers, timed_out / callers, sum(waited) / len(waited)


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "places", "timeout"), [(190.0, 8, 0.03), (300.0, 12, 0.05), (300.0, 30, 0.1)])
def test_both_bounds_together_lose_what_is_counted_one_by_one(rate: float, places: int, timeout: float) -> None:
    found = losses(rate, HOLD, 10, timeout=timeout, max_waiting=places)
    refused, timed_out, mean_wait = lost_one_by_one(rate, 10, places, timeout, 400_000)
    assert found.refused == pytest.approx(refused, rel=0.03)
    assert found.timed_out == pytest.approx(timed_out, rel=0.03)
    assert found.mean_wait == pytest.approx(mean_wait, rel=0.02)


def test_without_a_queue_it_is_erlang_b() -> None:
    for found in (losses(190.0, HOLD, 10, timeout=30.0, max_waiting=0), losses(190.0, HOLD, 10, timeout=0.0)):
        assert found.refused + found.timed_out == pytest.approx(erlang_b(10, 9.5), rel=1e-12)
        assert found.mean_wait == found.quantile(0.999) == 0.0


def test_with_all_the_patience_there_is_it_is_erlang_c() -> None:
    found, endless = losses(180.0, HOLD, 10, timeout=60.0), waits(180.0, HOLD, 10)
    assert found.timed_out < 1e-30
    assert found.mean_wait == pytest.approx(endless.mean_wait, rel=1e-9)
    assert found.waiting == pytest.approx(endless.waiting_probability, rel=1e-9)
    assert found.quantile(0.99) == pytest.approx(endless.quantile(0.99), rel=1e-6)


@given(
    utilisation=st.floats(0.05, 5.0),
    servers=st.integers(1, 50),
    places=st.integers(0, 200) | st.none(),
    timeout=st.floats(0.0, 20.0),
)
def test_nobody_is_lost_twice_and_nobody_is_forgotten(
    utilisation: float, servers: int, places: int | None, timeout: float
) -> None:
    rate = utilisation * servers / HOLD
    found = losses(rate, HOLD, servers, timeout=timeout, max_waiting=places)
    assert found.utilisation <= 1 + 1e-9
    assert 0 <= found.refused <= 1
    assert 0 <= found.timed_out <= 1
    if utilisation > 1:
        assert found.refused + found.timed_out >= 1 - 1 / utilisation - 1e-9
    spans = np.linspace(0.0, timeout, 200)
    tail = [found.beyond(float(span)) for span in spans]
    assert all(0 <= later <= sooner + 1e-9 for sooner, later in pairwise(tail))
    assert found.mean_wait <= timeout + 1e-9


@pytest.mark.parametrize(("rate", "places", "timeout"), [(190.0, None, 0.1), (190.0, 40, 0.1), (700.0, 40, 0.2)])
def test_the_mean_wait_is_the_area_under_the_tail(rate: float, places: int | None, timeout: float) -> None:
    found = losses(rate, HOLD, 10, timeout=timeout, max_waiting=places)
    spans = np.linspace(0.0, timeout, 2001)
    area = np.trapezoid([found.beyond(float(span)) for span in spans], spans)
    assert found.mean_wait == pytest.approx(area, rel=2e-3)


def test_in_heavy_overload_what_exceeds_the_capacity_is_lost() -> None:
    found = losses(600.0, HOLD, 10, timeout=30.0)
    assert found.timed_out == pytest.approx(2 / 3, rel=1e-12)
    assert found.timeouts_per_second == pytest.approx(400.0)
    assert found.utilisation == pytest.approx(1.0)
    assert found.mean_wait == pytest.approx(30.0, rel=0.01)
    both = losses(600.0, HOLD, 10, timeout=30.0, max_waiting=100)
    assert (both.refused, both.timed_out) == (pytest.approx(2 / 3, rel=1e-12), pytest.approx(0.0, abs=1e-12))
    assert both.mean_wait == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("places", [None, 1_000_000, 20_000])
def test_no_size_is_too_large_for_the_floats(places: int | None) -> None:
    found = losses(3_000.0, 1.0, 1_000, timeout=30.0, max_waiting=places)
    assert found.refused + found.timed_out == pytest.approx(2 / 3, rel=1e-6)
    assert math.isfinite(found.quantile(0.99))


def test_a_load_that_leaves_nothing_to_foretell_is_refused() -> None:
    assert losses(1e7, HOLD, 1, timeout=1.0).utilisation == pytest.approx(1.0)
    with pytest.raises(BadNumber, match="rate x hold is 5e\\+07 for 1 servers"):
        losses(1e9, HOLD, 1, timeout=1.0)


def test_a_patience_right_at_full_load_is_no_division_by_zero() -> None:
    at, around = losses(200.0, HOLD, 10, timeout=0.5), losses(200.0001, HOLD, 10, timeout=0.5)
    assert at.timed_out == pytest.approx(around.timed_out, rel=1e-4)
    assert at.mean_wait == pytest.approx(around.mean_wait, rel=1e-4)


def test_wilder_holds_lose_more_at_the_same_load() -> None:
    calm, wild = (losses(190.0, HOLD, 10, timeout=0.2, hold_scv=scv).timed_out for scv in (0.2, 8.0))
    assert calm < losses(190.0, HOLD, 10, timeout=0.2).timed_out < wild


@pytest.mark.parametrize("client_timeout", [None, 2.0])
def test_the_standing_queue_is_the_longest_that_admission_lets_in(client_timeout: float | None) -> None:
    longest = standing_queue(HOLD, 10, timeout=1.0, client_timeout=client_timeout)
    admission = Admission(1.0, client_timeout, None)
    admission.held(HOLD)
    admission.refusal(0.0, 1, 10, 10, admission.terms_to_queue(0.0))
    for number in range(1, 400):
        admission.served(number * HOLD / 10)
    now = 399 * HOLD / 10
    assert admission.refusal(now, longest - 2, 10, 10, admission.terms_to_queue(0.0)) is None
    assert admission.refusal(now, longest + 1, 10, 10, admission.terms_to_queue(0.0)) is not None
    assert standing_queue(HOLD, 10, timeout=1.0, client_timeout=client_timeout, max_waiting=3) == 3


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"timeout": None}, "timeout is None and max_waiting is None: the queue needs a bound"),
        ({"timeout": -1.0}, "timeout is -1.0"),
        ({"timeout": math.nan}, "timeout is nan"),
        ({"timeout": 1.0, "max_waiting": -1}, "max_waiting is -1: a whole number is needed, 0 or more"),
        ({"timeout": 1.0, "hold_scv": -1.0}, "hold_scv is -1.0"),
    ],
)
def test_bad_bounds_are_refused_by_name(bad: dict[str, float | None], message: str) -> None:
    with pytest.raises(BadNumber, match=message):
        losses(100.0, HOLD, 10, **bad)
