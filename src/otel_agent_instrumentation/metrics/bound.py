# SPDX-License-Identifier: Apache-2.0
"""Recording into one known attribute set without cleaning, copying and hashing it again each time.

`Histogram.record(value, attributes)` of SDK 1.45 spends 6 of its 9 us on the attributes, which for us are the same few
sets again and again. A bound recorder looks its aggregations up once, through seams of the SDK that are private; where
one is missing, or the temporality is delta (aggregations are then discarded at each collection), it records by the
public method. Both ways give the same points: tests/metrics/test_bound.py compares them.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from ..core.contain import Contained

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context
    from opentelemetry.metrics import Counter, Histogram
    from opentelemetry.metrics import _Gauge as Gauge

_BIND = Contained("metrics.bind")


class Moment:
    """One call's measurements: what an aggregation and an exemplar reservoir read of them, reused from one to the next.

    ``context`` names the span that exemplars lead to; whether it is sampled is asked once. With ``noted`` nothing is
    recorded yet: the values wait in their recorders, which are listed there for who records them all.
    """

    __slots__ = ("attributes", "context", "instrument", "noted", "sampled", "time_unix_nano", "value")

    def __init__(self, context: Context, time_ns: int, noted: list[Bound] | None = None) -> None:
        self.noted = noted
        self.value: float = 0
        self.time_unix_nano = time_ns
        self.context = context
        self.instrument: Any = None
        self.attributes: Mapping[str, Any] = {}
        self.sampled: bool | None = None


class Bound:
    """One instrument with one attribute set."""

    __slots__ = (
        "_add",
        "_aggregations",
        "_consumer",
        "_enabled",
        "_filter",
        "_instrument",
        "_storages",
        "attributes",
        "waiting",
    )

    def __init__(self, instrument: Histogram | Counter | Gauge, attributes: Mapping[str, Any]) -> None:
        self.attributes = attributes
        self.waiting: list[float] = []
        """What was noted and not recorded yet."""
        self._instrument: Any = instrument
        self._add: Any = next(filter(None, (getattr(instrument, name, None) for name in ("record", "add", "set"))))
        self._aggregations: list[Any] | None = None
        self._storages: Any = None
        self._consumer: Any = None
        self._enabled: Any = None
        self._filter: Any = None
        with _BIND:
            self._bind()

    def _bind(self) -> None:
        real = getattr(self._instrument, "_real_instrument", None) or self._instrument
        consumer = getattr(real, "_measurement_consumer", None)
        storages: dict[Any, Any] | None = getattr(consumer, "_reader_storages", None)
        if consumer is None or not isinstance(storages, dict):
            return
        from opentelemetry.sdk.metrics._internal import _view_instrument_match

        sdk: Any = _view_instrument_match

        found: list[Any] = []
        for storage in storages.values():
            for match in storage._get_or_init_view_instrument_match(real):  # noqa: SLF001
                # SDK 1.44 keeps neither; a temporality that may be delta is taken for one.
                if getattr(match, "_reset_on_collect", True) or not hasattr(match, "_get_or_create_aggregation"):
                    return
                allowed = match._view._attribute_keys  # noqa: SLF001
                kept = {k: v for k, v in self.attributes.items() if allowed is None or k in allowed}
                with match._lock:  # noqa: SLF001
                    found.append(match._get_or_create_aggregation(sdk._hash_attributes(kept), kept))  # noqa: SLF001
        # All that `record` reads is looked up here: what is missing is missed once, and the public method serves.
        self._enabled, self._filter = real._is_enabled, consumer._sdk_config.exemplar_filter.should_sample  # noqa: SLF001
        self._instrument, self._consumer, self._storages = real, consumer, storages
        self._aggregations = found

    def record(self, value: float, moment: Moment) -> None:
        """Record ``value`` (finite; not negative, but for a gauge), or note it where ``moment`` says so."""
        noted = moment.noted
        if noted is not None:
            if not self.waiting:
                noted.append(self)
            self.waiting.append(value)
            return
        aggregations = self._aggregations
        if aggregations is None:
            self._add(value, self.attributes, moment.context)
            return
        if self._consumer._reader_storages is not self._storages:  # noqa: SLF001 - a reader came or went
            self._aggregations = None
            with _BIND:
                self._bind()
            self.record(value, moment)
            return
        if not self._enabled():
            return
        moment.value, moment.instrument, moment.attributes = value, self._instrument, self.attributes
        sampled = moment.sampled
        if sampled is None:
            sampled = moment.sampled = self._filter(value, moment.time_unix_nano, self.attributes, moment.context)
        for aggregation in aggregations:
            aggregation.aggregate(moment, sampled)

    def record_all(self, values: list[float], moment: Moment) -> None:
        """Record many ``values`` of a histogram, sorted on the way, or of a counter, without exemplars: far cheaper."""
        moment.sampled = False
        todo = self._aggregations if self._aggregations and self._enabled() else None
        fresh = todo is not None and self._consumer._reader_storages is self._storages  # noqa: SLF001
        if todo is not None and fresh and all(map(_is_sum, todo)):
            self.record(sum(values), moment)
            return
        if todo is None or not fresh or not all(map(_is_histogram, todo)):
            for value in values:
                self.record(value, moment)
            return
        values.sort()
        for aggregation in todo:
            _add_all(aggregation, values)


def _is_histogram(aggregation: Any) -> bool:
    return all(hasattr(aggregation, name) for name in _HISTOGRAM)


def _is_sum(aggregation: Any) -> bool:
    return hasattr(aggregation, "_instrument_is_monotonic")


_HISTOGRAM = ("_boundaries", "_get_empty_bucket_counts", "_lock", "_max", "_min", "_record_min_max", "_sum", "_value")


def _add_all(aggregation: Any, values: list[float]) -> None:
    """What `_ExplicitBucketHistogramAggregation.aggregate` does (SDK 1.45), for a sorted list."""
    with aggregation._lock:  # noqa: SLF001
        counts = aggregation._value  # noqa: SLF001
        if counts is None:
            counts = aggregation._value = aggregation._get_empty_bucket_counts()  # noqa: SLF001
        aggregation._sum += sum(values)  # noqa: SLF001
        if aggregation._record_min_max:  # noqa: SLF001
            aggregation._min = min(aggregation._min, values[0])  # noqa: SLF001
            aggregation._max = max(aggregation._max, values[-1])  # noqa: SLF001
        below = 0
        for place, edge in enumerate(aggregation._boundaries):  # noqa: SLF001
            upto = bisect_right(values, edge, below)
            counts[place] += upto - below
            below = upto
        counts[-1] += len(values) - below
