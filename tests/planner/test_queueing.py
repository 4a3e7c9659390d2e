from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolkeeper.planner.erlang import erlang_b, erlang_c
from poolkeeper.planner.numbers import BadNumber
from poolkeeper.planner.queueing import KNEE_QUANTILE, knee, largest_rate, least_servers, waits

# Ten erlangs (100 calls of 180 s in half an hour): agents, share that waits, share served within 20 s, mean wait in
# seconds, as the ErlangC package for R prints them (https://cran.r-project.org/web/packages/ErlangC/readme/README.html).
PUBLISHED = [
    (11, 0.6821182, 0.3896138, 122.78127684408),
    (12, 0.4493882, 0.640158, 40.4449401868444),
    (13, 0.2852705, 0.7955948, 17.1162271821896),
    (14, 0.1741319, 0.88835, 7.83593701177724),
]
RATE, HOLD = 100 / 1800, 180.0


@pytest.mark.parametrize(("agents", "waiting", "in_time", "mean_wait"), PUBLISHED)
def test_published_values_of_erlang_c(agents: int, waiting: float, in_time: float, mean_wait: float) -> None:
    found = waits(RATE, HOLD, agents)
    assert erlang_c(agents, 10.0) == pytest.approx(waiting, abs=5e-8)
    assert found.waiting_probability == pytest.approx(waiting, abs=5e-8)
    assert 1 - found.beyond(20.0) == pytest.approx(in_time, abs=5e-8)
    assert found.mean_wait == pytest.approx(mean_wait, rel=1e-12)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (2, 1.5), (5, 4.0), (20, 18.0), (60, 59.0), (7, 30.0)])
def test_erlang_b_is_the_fraction_that_its_definition_says(servers: int, load: float) -> None:
    terms = [Fraction(load) ** number / math.factorial(number) for number in range(servers + 1)]
    assert erlang_b(servers, load) == pytest.approx(float(terms[-1] / sum(terms)), rel=1e-12)


def test_one_server_is_the_textbook_queue() -> None:
    found = waits(8.0, 0.1, 1)
    assert found.waiting_probability == pytest.approx(0.8)
    assert found.mean_wait == pytest.approx(0.4)
    assert found.mean_waiting == pytest.approx(3.2)
    assert found.quantile(0.99) == pytest.approx(math.log(80) * 0.5)


@pytest.mark.parametrize("servers", [10_000, 100_000, 1_000_000])
def test_many_servers_follow_the_limit_of_halfin_and_whitt(servers: int) -> None:
    # S. Halfin and W. Whitt, "Heavy-traffic limits for queues with many exponential servers", Operations Research 29
    # (1981): with a spare of beta sqrt(c) servers, 1 / (1 + beta Phi(beta) / phi(beta)) of the arrivals wait.
    beta = 0.5
    normal = math.erf(beta / math.sqrt(2)) / 2 + 0.5
    limit = 1 / (1 + beta * normal * math.sqrt(2 * math.pi) * math.exp(beta**2 / 2))
    assert erlang_c(servers, servers - beta * math.sqrt(servers)) == pytest.approx(limit, rel=2 / math.sqrt(servers))


def test_a_load_that_hardly_ever_fills_the_pool_is_no_error() -> None:
    found = waits(0.001, 0.001, 100_000)
    assert (found.waiting_probability, found.mean_wait, found.quantile(0.999)) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("rate", [200.0, 200.1, 1e9])
def test_a_queue_that_grows_without_end_has_no_wait_to_tell(rate: float) -> None:
    found = waits(rate, 0.05, 10)
    assert not found.is_stable
    assert found.waiting_probability == found.beyond(3600.0) == 1.0
    assert found.mean_wait is found.mean_waiting is found.quantile(0.5) is None


@given(
    servers=st.integers(1, 200),
    utilisation=st.floats(0.05, 0.999),
    portion=st.floats(0.01, 0.999),
    hold=st.floats(1e-4, 100.0),
)
def test_the_quantile_is_where_the_tail_begins(servers: int, utilisation: float, portion: float, hold: float) -> None:
    found = waits(utilisation * servers / hold, hold, servers)
    quantile = found.quantile(portion)
    assert quantile is not None
    assert found.beyond(quantile) <= (1 - portion) * (1 + 1e-9)
    if quantile:
        assert found.beyond(quantile * 0.99) > 1 - portion


def test_one_server_with_any_hold_is_pollaczek_and_khinchin() -> None:
    rate, hold, scv = 12.0, 0.05, 4.0
    assert waits(rate, hold, 1, hold_scv=scv).mean_wait == pytest.approx(
        rate * hold**2 * (1 + scv) / 2 / (1 - rate * hold)
    )


def test_constant_holds_wait_half_as_long() -> None:
    assert waits(180.0, 0.05, 10, hold_scv=0.0).mean_wait == pytest.approx(waits(180.0, 0.05, 10).mean_wait / 2)


@pytest.mark.parametrize(("wait", "portion"), [(0.0, 0.99), (0.001, 0.5), (0.01, 0.99), (1.0, 0.999)])
@pytest.mark.parametrize("rate", [3.0, 400.0, 20_000.0])
def test_the_least_number_of_servers_is_enough_and_one_less_is_not(rate: float, wait: float, portion: float) -> None:
    least = least_servers(rate, 0.05, wait, portion)
    enough = waits(rate, 0.05, least).quantile(portion)
    assert enough is not None
    assert enough <= wait
    if least > 1:
        fewer = waits(rate, 0.05, least - 1).quantile(portion)
        assert fewer is None or fewer > wait


@pytest.mark.parametrize("servers", [1, 10, 500])
def test_the_largest_rate_is_where_the_wait_is_reached(servers: int) -> None:
    rate = largest_rate(0.05, servers, 0.02, 0.95)
    assert waits(rate, 0.05, servers).quantile(0.95) == pytest.approx(0.02, rel=1e-6)


@pytest.mark.parametrize("hold_scv", [0.5, 1.0, 6.0])
def test_at_the_knee_the_slowest_hundredth_waits_as_long_as_it_holds(hold_scv: float) -> None:
    bend = knee(0.05, 10, hold_scv=hold_scv)
    assert waits(bend.rate, 0.05, 10, hold_scv=hold_scv).quantile(KNEE_QUANTILE) == pytest.approx(0.05, rel=1e-6)
    assert bend.utilisation == pytest.approx(bend.rate * 0.05 / 10)


def test_the_knee_of_a_larger_pool_comes_later_and_that_of_wilder_holds_sooner() -> None:
    found = [knee(0.05, servers).utilisation for servers in (1, 5, 20, 100)]
    assert found == sorted(found)
    assert knee(0.05, 10, hold_scv=8.0).utilisation < knee(0.05, 10).utilisation


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, -math.inf, "50ms", None, True])
@pytest.mark.parametrize(
    "ask",
    [
        lambda bad: waits(bad, 0.05, 10),
        lambda bad: waits(100.0, bad, 10),
        lambda bad: least_servers(bad, 0.05, 0.01),
        lambda bad: largest_rate(bad, 10, 0.01),
        lambda bad: largest_rate(0.05, 10, bad),
        lambda bad: knee(bad, 10),
        lambda bad: erlang_c(3, bad),
    ],
)
def test_bad_numbers_are_refused_by_name(ask: Callable[[object], object], bad: object) -> None:
    with pytest.raises(BadNumber, match=r"^(rate|hold|wait|load) is .*: a finite number above 0 is needed$"):
        ask(bad)


@pytest.mark.parametrize("bad", [0, -1, 2.5, math.nan, True])
def test_servers_are_whole(bad: int) -> None:
    with pytest.raises(BadNumber, match=r"servers is .*: a whole number is needed, 1 or more"):
        waits(100.0, 0.05, bad)


@pytest.mark.parametrize("bad", [1.0, 1.5, -0.1, math.nan])
def test_no_wait_is_longer_than_all_of_them(bad: float) -> None:
    with pytest.raises(BadNumber, match=r"portion is .*: a share is needed"):
        waits(100.0, 0.05, 10).quantile(bad)


def test_nothing_is_foretold_where_nothing_varies() -> None:
    with pytest.raises(BadNumber, match="both 0"):
        waits(100.0, 0.05, 10, arrival_scv=0.0, hold_scv=0.0)
