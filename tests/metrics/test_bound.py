# SPDX-License-Identifier: Apache-2.0
"""A bound recorder and the public method give the same points, whatever the readers, views and the SDK's insides."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import set_span_in_context

from otel_agent_instrumentation.core import contain
from otel_agent_instrumentation.metrics.bound import Bound, Moment

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

pytestmark = pytest.mark.matrix

LABELS = {"kept": "a", "dropped": "b", "number": 3}
VALUES = (0, 0.004, 0.5, 3, 3, 80, 1e6)
NOW = 1_800_000_000_000_000_000


def cumulative() -> InMemoryMetricReader:
    return InMemoryMetricReader()


def delta() -> InMemoryMetricReader:
    both = dict.fromkeys((Histogram, Counter), AggregationTemporality.DELTA)
    return InMemoryMetricReader(preferred_temporality=both)


VIEWS = {
    "no view": (),
    "labels": (View(instrument_name="*", attribute_keys={"kept", "number"}),),
    "two views": (
        View(instrument_name="*", attribute_keys={"kept"}),
        View(instrument_name="h", name="again", attribute_keys=set()),
    ),
}


@dataclass
class Meters:
    """A provider with one histogram and one counter."""

    provider: MeterProvider
    instruments: list[Any]

    @classmethod
    def of(cls, readers: list[InMemoryMetricReader], views: Any = ()) -> Meters:
        provider = MeterProvider(readers, views=views, shutdown_on_exit=False)
        meter = provider.get_meter("test")
        return cls(provider, [meter.create_histogram("h", unit="s"), meter.create_counter("c")])

    def bound(self) -> Iterator[Callable[..., None]]:
        for instrument in self.instruments:
            yield Bound(instrument, LABELS).record

    def public(self) -> Iterator[Callable[..., None]]:
        for instrument in self.instruments:
            add = getattr(instrument, "record", None) or instrument.add

            def record(value: float, moment: Moment, add: Any = add) -> None:
                add(value, LABELS, moment.context)

            yield record


def spans() -> list[Context]:
    """A context without a span, one with a sampled span."""
    span = TracerProvider(shutdown_on_exit=False).get_tracer("test").start_span("s")
    return [Context(), set_span_in_context(span, Context())]


def record_all(recorders: list[Callable[..., None]], contexts: list[Context]) -> None:
    for context in contexts:
        for value in VALUES:
            moment = Moment(context, NOW)
            for record in recorders:
                record(value, moment)


def points(reader: InMemoryMetricReader) -> dict[str, Any]:
    """What a reader collects, without the times of collection."""
    data = reader.get_metrics_data()
    metrics = [m for r in (data.resource_metrics if data else ()) for s in r.scope_metrics for m in s.metrics]
    return {metric.name: [_point(point) for point in metric.data.data_points] for metric in metrics}


def _point(point: Any) -> dict[str, Any]:
    names = ("count", "sum", "min", "max", "value", "bucket_counts", "explicit_bounds")
    told = {name: getattr(point, name) for name in names if hasattr(point, name)}
    # Which value an exemplar keeps is drawn by lot.
    exemplars = sorted({(e.trace_id, e.span_id, repr(e.filtered_attributes)) for e in point.exemplars})
    return {**told, "attributes": dict(point.attributes), "exemplars": exemplars}


@pytest.mark.parametrize("views", VIEWS)
@pytest.mark.parametrize("kinds", [(cumulative,), (delta,), (cumulative, delta), (delta, cumulative)])
def test_both_give_the_same_points_collection_after_collection(kinds: Any, views: str) -> None:
    contexts = spans()
    readers = {way: [kind() for kind in kinds] for way in ("bound", "public")}
    meters = {way: Meters.of(found, VIEWS[views]) for way, found in readers.items()}
    recorders = {"bound": list(meters["bound"].bound()), "public": list(meters["public"].public())}
    for _ in range(3):
        seen = []
        for way in ("bound", "public"):
            record_all(recorders[way], contexts)
            seen.append([points(reader) for reader in readers[way]])
        assert seen[0] == seen[1]
        assert all("h" in collected for collected in seen[0])
    # Nothing was recorded since: what is delta is silent, what is cumulative repeats itself.
    assert [points(r) for r in readers["bound"]] == [points(r) for r in readers["public"]]
    for one in meters.values():
        one.provider.shutdown()


@pytest.mark.parametrize("kind", [cumulative, delta])
@pytest.mark.parametrize("views", VIEWS)
def test_many_at_once_give_the_same_points_as_one_by_one(kind: Any, views: str) -> None:
    readers = [kind(), kind()]
    meters = [Meters.of([reader], VIEWS[views]) for reader in readers]
    for values in (VALUES, (0.3,), (1e9, 0.0)):
        for value in values:
            next(meters[0].public())(value, Moment(Context(), NOW))
        Bound(meters[1].instruments[0], LABELS).record_all(list(values), Moment(Context(), NOW))
        first, second = (points(reader) for reader in readers)
        assert first == second
        assert "h" in first
    for one in meters:
        one.provider.shutdown()


def test_readers_that_come_and_go_later_miss_nothing() -> None:
    meters, first, second = Meters.of([]), cumulative(), cumulative()
    if not hasattr(meters.provider, "add_metric_reader"):
        pytest.skip("needs: package opentelemetry-sdk>=1.45")
    (record, _) = meters.bound()
    moment = Moment(Context(), NOW)
    record(1, moment)
    meters.provider.add_metric_reader(first)
    record(2, moment)
    meters.provider.add_metric_reader(second)
    record(3, moment)
    sums = [points(reader)["h"][0]["sum"] for reader in (first, second)]
    assert sums == [5, 3]
    meters.provider.remove_metric_reader(first)
    record(4, moment)
    assert points(second)["h"][0]["sum"] == 7
    meters.provider.shutdown()


SEAMS = (
    "instrument._measurement_consumer",
    "instrument._is_enabled",
    "consumer._reader_storages",
    "consumer._sdk_config",
    "storage._get_or_init_view_instrument_match",
    "match._get_or_create_aggregation",
    "match._reset_on_collect",
    "match._view",
    "module._hash_attributes",
)


@contextlib.contextmanager
def without(seam: str, meters: Meters) -> Generator[None]:
    """Hide a private name of the SDK while a recorder is bound, as another version would."""
    from opentelemetry.sdk.metrics._internal import _view_instrument_match as module

    kind, _, name = seam.partition(".")
    instrument = meters.instruments[0]
    consumer = instrument._measurement_consumer
    storage = next(iter(consumer._reader_storages.values()))
    owner = {"instrument": instrument, "consumer": consumer, "storage": storage, "module": module}.get(kind)
    owner = owner or storage._get_or_init_view_instrument_match(instrument)[0]
    if not hasattr(owner, name):  # an SDK that never had it
        yield
        return
    holder = owner if name in vars(owner) else next(cls for cls in type(owner).__mro__ if name in vars(cls))
    held = vars(holder)[name]
    delattr(holder, name)
    try:
        yield
    finally:
        setattr(holder, name, held)


@pytest.mark.faults
@pytest.mark.parametrize("seam", SEAMS)
def test_where_a_seam_of_the_sdk_is_missing_the_public_method_serves(seam: str) -> None:
    reader, other = cumulative(), cumulative()
    meters, control = Meters.of([reader]), Meters.of([other])
    contexts = spans()
    with without(seam, meters):
        recorder = Bound(meters.instruments[0], LABELS)
    assert recorder._aggregations is None
    record_all([recorder.record], contexts)
    record_all([next(control.public())], contexts)
    assert points(reader) == points(other)
    for one in (meters, control):
        one.provider.shutdown()


@pytest.mark.parametrize("views", VIEWS)
def test_the_fast_way_is_taken_where_the_sdk_has_it(views: str) -> None:
    """Else all of this file would compare the public method with itself."""
    meters = Meters.of([cumulative()], VIEWS[views])
    match = pytest.importorskip("opentelemetry.sdk.metrics._internal._view_instrument_match")._ViewInstrumentMatch
    if not hasattr(match, "_get_or_create_aggregation"):
        pytest.skip("needs: package opentelemetry-sdk>=1.45.2")
    recorder = Bound(meters.instruments[0], LABELS)
    assert recorder._aggregations is not None
    assert len(recorder._aggregations) == (2 if views == "two views" else 1)
    assert contain.faults() == {}
    meters.provider.shutdown()
