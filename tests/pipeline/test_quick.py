# SPDX-License-Identifier: Apache-2.0
"""A span that is put together at once is the span that the SDK makes, and the SDK makes it where it has a say."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, DEFAULT_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState, set_span_in_context

from otel_agent_instrumentation.pipeline.quick import QuickSpan, SpanStarter

if TYPE_CHECKING:
    from collections.abc import Mapping

START: dict[str, Any] = {"a": "text", "b": 3, "c": 0.5, "d": True}
END: dict[str, Any] = {"e": ["x", "y"], "f": "text", "a": "again"}
TRACE, ABOVE = 7 << 64, 9
OTHER = {"_context", "_lock", "_attributes", "_events", "_links"}


class Keeper(SpanProcessor):
    """Keeps what starts and what ends."""

    def __init__(self) -> None:
        self.started: list[Any] = []
        self.ended: list[ReadableSpan] = []

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        self.started.append(span)

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


def above(flags: int = 1, *, remote: bool = False, state: str = "k=v") -> SpanContext:
    return SpanContext(TRACE, ABOVE, remote, TraceFlags(flags), TraceState.from_header([state]))


def both(provider: TracerProvider, parent: SpanContext | None, start: Mapping[str, Any] = START) -> tuple[Any, Any]:
    """The same span by the SDK's way and by ours."""
    tracer = provider.get_tracer("t", "1", "https://example.org/schema")
    context = Context() if parent is None else set_span_in_context(NonRecordingSpan(parent), Context())
    public = tracer.start_span(
        "n", context, SpanKind.CLIENT, start, start_time=5, record_exception=False, set_status_on_exception=False
    )
    return public, SpanStarter(tracer).start("n", context, parent, start, 5)


def told(span: ReadableSpan) -> dict[str, Any]:
    """All that an exporter reads, but for the ids that are random."""
    assert span.context is not None
    return {
        "span": {key: value for key, value in vars(span).items() if key not in OTHER},
        "attributes": dict(span.attributes or {}),
        "events": [(event.name, dict(event.attributes or {}), event.timestamp) for event in span.events],
        "links": [link.context for link in span.links],
        "dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links),
        "flags": int(span.context.trace_flags),
        "state": span.context.trace_state,
        "trace": span.context.trace_id if span.parent else None,
        "json": json.loads(re.sub("0x[0-9a-f]+", "", span.to_json())),
    }


@pytest.mark.parametrize("sampler", [DEFAULT_ON, ALWAYS_ON], ids=["default", "always"])
@pytest.mark.parametrize(
    "parent", [None, above(), above(3), above(1, remote=True)], ids=["root", "child", "random trace", "remote"]
)
@pytest.mark.parametrize("touched", [False, True])
def test_it_is_the_sdks_span(sampler: Any, parent: SpanContext | None, touched: bool) -> None:
    provider, keeper = TracerProvider(sampler, shutdown_on_exit=False), Keeper()
    provider.add_span_processor(keeper)
    public, quick = both(provider, parent)
    assert isinstance(quick, QuickSpan)
    assert keeper.started == [public, quick]
    assert {*vars(quick), "_events", "_links"} == set(vars(public))
    public.set_attributes(END)
    quick.set_clean(END)
    if touched:
        for span in (public, quick):
            span.add_event("e", {"k": 1}, 6)
            span.add_link(above())
            span.update_name("other")
    for span in (public, quick):
        span.end(8)
        assert not span.is_recording()
    first, second = keeper.ended
    assert type(second) is ReadableSpan
    assert told(first) == told(second)
    assert first.context != second.context


@pytest.mark.parametrize(
    "sampler", [DEFAULT_ON, TraceIdRatioBased(1.0), ALWAYS_OFF], ids=["quick", "sdk's", "unsampled"]
)
def test_a_secret_in_the_trace_state_is_not_inherited(sampler: Any) -> None:
    secret = "sk-" + "ant-api03-0123456789canary0123456789"
    parent = above(1, remote=True, state=f"first=a:1;b:2,vendor={secret},{secret}=x,api_key=abcd1234,last=z")
    context = set_span_in_context(NonRecordingSpan(parent), Context())
    span: Any = SpanStarter(TracerProvider(sampler).get_tracer("t")).start("n", context, parent, START, 5)
    assert isinstance(span, QuickSpan) == (sampler is DEFAULT_ON)
    ids = span.get_span_context()
    assert ids.trace_id == TRACE
    if span.is_recording():
        assert secret not in repr((span.parent, ids))
        assert (span.parent.span_id, span.parent.is_remote) == (ABOVE, True)
    assert ids.trace_state.to_header() == "first=a:1;b:2,last=z"


@pytest.mark.parametrize("lengths", [{"max_span_attributes": 3}, {"max_span_attribute_length": 2}])
@pytest.mark.logs  # the SDK says what it drops
def test_limits_are_the_sdks_to_keep(lengths: dict[str, int]) -> None:
    provider, keeper = TracerProvider(span_limits=SpanLimits(**lengths), shutdown_on_exit=False), Keeper()
    provider.add_span_processor(keeper)
    for span in both(provider, None):
        span.set_attributes(END)
        span.end(8)
    first, second = map(told, keeper.ended)
    assert first == second
    assert first["dropped"][0] > 0 or "te" in first["attributes"].values()


@pytest.mark.logs
def test_more_attributes_than_a_span_may_have() -> None:
    provider, keeper = TracerProvider(span_limits=SpanLimits(max_span_attributes=5), shutdown_on_exit=False), Keeper()
    provider.add_span_processor(keeper)
    public, quick = both(provider, None)
    assert isinstance(quick, QuickSpan)
    public.set_attributes(END)
    quick.set_clean(END)
    public.end(8)
    quick.end(8)
    assert told(keeper.ended[0]) == told(keeper.ended[1])
    assert keeper.ended[1].dropped_attributes > 0


@pytest.mark.parametrize(
    ("sampler", "parent"),
    [
        (ALWAYS_OFF, None),
        (DEFAULT_ON, above(0)),
        (ParentBased(ALWAYS_OFF), None),
        (TraceIdRatioBased(0.0), None),
        (ParentBased(ALWAYS_ON, local_parent_sampled=ALWAYS_OFF), above()),
        (ParentBased(ALWAYS_ON, remote_parent_sampled=ALWAYS_OFF), above(1, remote=True)),
    ],
)
def test_a_sampler_with_a_say_is_asked(sampler: Any, parent: SpanContext | None) -> None:
    public, quick = both(TracerProvider(sampler, shutdown_on_exit=False), parent)
    assert not public.is_recording()
    assert not quick.is_recording()


def test_a_sampler_that_is_set_later_is_asked() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    tracer: Any = provider.get_tracer("t")
    starter = SpanStarter(tracer)
    assert isinstance(starter.start("n", Context(), None, START, 5), QuickSpan)
    tracer.sampler = ALWAYS_OFF
    assert not starter.start("n", Context(), None, START, 5).is_recording()


def test_ids_are_those_of_the_applications_generator() -> None:
    class Ids(RandomIdGenerator):
        def generate_span_id(self) -> int:
            return 42

    tracer = TracerProvider(id_generator=Ids(), shutdown_on_exit=False).get_tracer("t")
    assert SpanStarter(tracer).start("n", Context(), None, START, 5).get_span_context().span_id == 42


@pytest.mark.logs
@pytest.mark.parametrize("value", [object(), {"k": 1}, [1, "a"], b"bytes", None])
def test_what_needs_cleaning_is_cleaned_by_the_sdk(value: Any) -> None:
    provider, keeper = TracerProvider(shutdown_on_exit=False), Keeper()
    provider.add_span_processor(keeper)
    public, quick = both(provider, None, {"v": value})
    public.set_attributes({"w": value})
    getattr(quick, "set_clean", quick.set_attributes)({"w": value})
    public.end(8)
    quick.end(8)
    assert dict(keeper.ended[0].attributes or {}) == dict(keeper.ended[1].attributes or {})


@pytest.mark.logs
def test_an_ended_span_takes_nothing_more() -> None:
    _, quick = both(TracerProvider(shutdown_on_exit=False), None)
    quick.end(8)
    quick.set_clean({"late": 1})
    assert "late" not in quick.attributes


def test_a_field_that_a_later_sdk_adds_leaves_it_to_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.sdk.trace import Span

    made: Any = Span.__init__

    def later(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        self._more = []

    monkeypatch.setattr(Span, "__init__", later)
    _, ours = both(TracerProvider(shutdown_on_exit=False), None)
    assert not isinstance(ours, QuickSpan)
    assert ours.is_recording()
