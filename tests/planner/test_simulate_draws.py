"""Arrivals and holds: what is drawn has the mean and the variation that is said of it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from poolkeeper.model import Histogram
from poolkeeper.planner.numbers import BadNumber
from poolkeeper.planner.simulate import (
    Bimodal,
    Bursts,
    Constant,
    Exponential,
    Holds,
    Lognormal,
    Measured,
    Poisson,
    Trace,
)

MEASURED = Measured(Histogram((50, 30, 15, 5), 6.1, (0.01, 0.1, 0.5)))


@pytest.mark.parametrize(
    "holds",
    [Constant(0.2), Exponential(0.05), Lognormal(0.05, 0.2), Bimodal(0.01, 0.5, 0.05), MEASURED],
    ids=lambda holds: type(holds).__name__,
)
def test_holds_have_their_mean_and_variation(holds: Holds) -> None:
    drawn = holds.draw(np.random.default_rng(1), 400_000)
    assert drawn.min() >= 0
    assert drawn.mean() == pytest.approx(holds.mean, rel=0.01)
    assert drawn.var() / drawn.mean() ** 2 == pytest.approx(holds.scv, rel=0.05, abs=1e-12)


@pytest.mark.parametrize("p99", [0.05, 0.06, 0.3, 0.7])
def test_a_lognormal_has_the_percentile_it_was_given(p99: float) -> None:
    drawn = Lognormal(0.05, p99).draw(np.random.default_rng(2), 400_000)
    assert np.quantile(drawn, 0.99) == pytest.approx(p99, rel=0.03)


def test_a_histogram_keeps_its_own_mean() -> None:
    assert MEASURED.mean == pytest.approx(0.061)


@pytest.mark.parametrize("arrivals", [Poisson(300.0), Bursts(100.0, 900.0, 0.3, 0.1)], ids=["poisson", "bursts"])
def test_arrivals_come_at_their_rate_and_in_order(arrivals: Poisson | Bursts) -> None:
    batches = itertools.takewhile(
        lambda batch: not len(batch) or batch[0] < 600.0, arrivals.times(np.random.default_rng(3))
    )
    times = np.concatenate(list(batches))
    assert np.all(np.diff(times) >= 0)
    assert np.count_nonzero(times < 600.0) / 600.0 == pytest.approx(arrivals.rate, rel=0.05)


def test_bursts_vary_more_than_poisson_arrivals() -> None:
    def dispersion(arrivals: Poisson | Bursts) -> float:
        batches = itertools.takewhile(
            lambda batch: not len(batch) or batch[0] < 300.0, arrivals.times(np.random.default_rng(4))
        )
        counts, _ = np.histogram(np.concatenate(list(batches)), bins=300, range=(0.0, 300.0))
        return float(counts.var() / counts.mean())

    assert dispersion(Poisson(300.0)) == pytest.approx(1.0, abs=0.3)
    assert dispersion(Bursts(100.0, 900.0, 3.0, 1.0)) > 20


def test_a_trace_is_what_was_measured() -> None:
    trace = Trace((0.5, 1.0, 2.5))
    assert trace.rate == 1.0
    assert np.concatenate(list(trace.times(np.random.default_rng(0)))).tolist() == [0.5, 1.0, 2.5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Poisson(0.0), "rate is 0.0"),
        (lambda: Bursts(-1.0, 2.0, 1.0, 1.0), "calm is -1.0"),
        (lambda: Trace((1.0,)), "a trace of 1 arrivals"),
        (lambda: Trace((2.0, 1.0)), "in order"),
        (lambda: Trace((1.0, 1.0)), "in the same moment"),
        (lambda: Trace((0.0, math.nan)), "finite"),
        (lambda: Constant(math.inf), "mean is inf"),
        (lambda: Lognormal(0.05, 0.04), "a lognormal has it between the mean and 0.748"),
        (lambda: Lognormal(0.05, 1.0), "a lognormal has it between the mean and 0.748"),
        (lambda: Bimodal(0.1, 1.0, 1.0), "slow_share is 1.0"),
        (lambda: Measured(Histogram((0, 0), 0.0, (1.0,))), "has counted nothing"),
    ],
)
def test_bad_arguments_are_refused_by_name(make, message: str) -> None:
    with pytest.raises(BadNumber, match=message):
        make()
