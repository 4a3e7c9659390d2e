from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolkeeper.drill import Histogram

seconds = st.lists(st.floats(1e-5, 100), min_size=1, max_size=200)


@given(seconds, st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_within_half_a_percent_of_the_exact_one(values: list[float], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    ranked = sorted(values)
    exact = next(value for rank, value in enumerate(ranked, 1) if rank >= share * len(ranked))
    assert histogram.quantile(share) == pytest.approx(exact, rel=0.0051)
    assert histogram.maximum == max(values)


@given(seconds, seconds)
def test_merging_equals_adding_everything_to_one(first: list[float], second: list[float]) -> None:
    merged, other, together = Histogram(), Histogram(), Histogram()
    for value in first:
        merged.add(value)
        together.add(value)
    for value in second:
        other.add(value)
        together.add(value)
    merged.merge(other)
    assert repr(merged) == repr(together)
    assert merged.quantile(0.99) == together.quantile(0.99)


def test_nothing_measured_is_zero_and_not_an_error() -> None:
    assert Histogram().quantile(0.99) == 0.0
