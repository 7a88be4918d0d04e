# SPDX-License-Identifier: Apache-2.0
"""The monitor's histogram: constant memory, and quantiles within the stated error of what was added."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_instrumentation.monitors.histogram import ERROR, LEAST, MOST, Histogram, merged

SHARES = (0.0, 0.1, 0.5, 0.9, 0.95, 0.99, 1.0)


def filled(values: list[float]) -> Histogram:
    made = Histogram()
    for value in values:
        made.add(value)
    return made


@given(st.lists(st.floats(LEAST, MOST), min_size=1, max_size=200))
def test_a_quantile_is_within_the_error_of_a_value(values):
    found, ordered = filled(values), sorted(values)
    for share in SHARES:
        exact = ordered[int(share * (len(values) - 1))]
        assert found.quantile(share) == pytest.approx(exact, rel=ERROR * 1.001)


@given(st.lists(st.floats(0, 1e9), max_size=50), st.lists(st.floats(0, 1e9), max_size=50))
def test_two_are_merged_as_if_they_had_been_one(left, right):
    one, both = filled([*left, *right]), merged([filled(left), Histogram(), filled(right)])
    assert (both.count, both.min, both.max) == (one.count, one.min, one.max)
    assert both.sum == pytest.approx(one.sum)
    assert [both.quantile(share) for share in SHARES] == [one.quantile(share) for share in SHARES]


def test_what_is_beyond_the_range_never_leaves_what_was_added():
    found = filled([0.0, 1e-9, 1e12])
    assert (found.min, found.max, found.count) == (0.0, 1e12, 3)
    assert 0.0 <= (found.quantile(0.5) or -1) <= 1e12
    assert found.quantile(1.0) <= 1e12  # type: ignore[operator]


def test_nothing_has_no_quantile():
    assert Histogram().quantile(0.5) is None
    assert Histogram().summary()["p50"] is None


def test_the_memory_is_constant():
    chance = random.Random(1)  # noqa: S311 - no secret
    found = filled([0.1])
    before = sys.getsizeof(found._buckets)
    for _ in range(20_000):
        found.add(chance.lognormvariate(0, 4))
    assert sys.getsizeof(found._buckets) == before < 12_000
