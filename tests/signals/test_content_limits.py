# SPDX-License-Identifier: Apache-2.0
"""Any content, any limit: what is told is JSON within it."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_agent_instrumentation.signals.content import bounded_json, bounded_value

texts = st.text(max_size=80) | st.builds(
    lambda text, times: text * times, st.text(min_size=1, max_size=9), st.just(900)
)
leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | texts
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner, max_size=5),
    max_leaves=30,
)
messages = st.lists(
    st.dictionaries(st.sampled_from(["role", "parts", "x"]), values, min_size=1), min_size=1, max_size=6
)
limits = st.integers(64, 6000)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(messages, limits)
def test_messages_stay_valid_within_the_limit(told, limit):
    made = bounded_json(told, limit)
    assert len(made.encode()) <= limit
    assert isinstance(json.loads(made), list)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(values.filter(lambda value: not isinstance(value, str)), limits)
def test_values_stay_valid_within_the_limit(told, limit):
    made = bounded_value(told, limit)
    assert len(made.encode()) <= limit
    json.loads(made)
