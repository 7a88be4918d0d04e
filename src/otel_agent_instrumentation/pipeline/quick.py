# SPDX-License-Identifier: Apache-2.0
"""Starting the SDK's own kind of span at a third of the price, where all that it would check is known beforehand.

`Tracer.start_span` of SDK 1.45 runs some thirty functions: it asks a sampler that always says yes, and cleans
attributes that are clean. Here the same span is put together from parts that are looked up once per tracer. It has the
fields that the SDK gives it, no more and no less: where a later SDK has others, or where anybody's sampler, limits or
metrics have a say, the public method serves. tests/pipeline/test_quick.py compares both ways.
"""

# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001
from __future__ import annotations

from random import getrandbits
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan, Tracer, _Span
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, StaticSampler
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from ..core.contain import Contained
from ..core.context import with_span

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

_LEARN = Contained("quick.learn")
_SAMPLED: Final = 1
_RANDOM: Final = 2
_FLAGS: Final = {flags: TraceFlags(flags) for flags in (_SAMPLED, _SAMPLED | _RANDOM)}
_CLEAN: Final = frozenset({str, int, float, bool})
_WORDS: Final = frozenset({list, tuple})
_new: Final = object.__new__

_READABLE: Final = (
    *("_name", "_context", "_kind", "_instrumentation_info", "_instrumentation_scope", "_parent"),
    *("_start_time", "_end_time", "_attributes", "_events", "_links", "_resource", "_status"),
)
_LIVE: Final = {
    *_READABLE,
    *("_sampler", "_trace_config", "_record_exception", "_set_status_on_exception", "_span_processor"),
    *("_limits", "_lock", "_record_end_metrics"),
}
_BOUNDED: Final = {"_dict", "maxlen", "dropped", "max_value_len", "_lock", "_immutable"}


class QuickSpan(_Span):
    """An SDK span whose lists of events and links are made when somebody adds to them or looks."""

    def __getattr__(self, name: str) -> Any:
        """Make what was left out; whatever else is missing is missing."""
        fields: dict[str, Any] = vars(self)
        limits = fields.get("_limits")
        if limits is None or name not in {"_events", "_links"}:
            raise AttributeError(name)
        made: BoundedList[Any] = BoundedList(limits.max_events if name == "_events" else limits.max_links)
        # One list, also for two threads that look at once.
        return fields.setdefault(name, made)

    def set_clean(self, attributes: Mapping[str, Any]) -> None:
        """`set_attributes` without cleaning, where every value is of a kind that needs none."""
        clean = _clean(attributes)
        fields = vars(self)
        bounded: Any = self._attributes
        if clean is not None:
            with self._lock:
                if fields["_end_time"] is None and len(bounded._dict) + len(clean) <= bounded.maxlen:
                    bounded._dict.update(clean)
                    return
        self.set_attributes(attributes)

    def _readable_span(self) -> ReadableSpan:
        fields = vars(self)
        made: Any = _new(ReadableSpan)
        made.__dict__ = {name: fields.get(name, ()) for name in _READABLE}
        return made


def _clean(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """A copy of ``attributes`` as the SDK would keep it, or None where only the SDK knows."""
    found: dict[str, Any] = {}
    for key, value in attributes.items():
        kind = type(value)  # pyright: ignore[reportUnknownVariableType]
        if kind in _CLEAN:
            found[key] = value
        elif kind in _WORDS:
            words = tuple(value)
            if not all(type(word) is str for word in words):
                return None
            found[key] = words
        else:
            return None
    return found


def _without_secrets(context: Context, above: SpanContext) -> tuple[Context, SpanContext]:
    """``context`` and ``above`` without what in the trace state, which came from a peer, may not leave.

    Here, as all that is below inherits it, and whatever asks the span for its context sends it on: exporters, the
    ledger, `_meta` of MCP, the propagators of others.
    """
    from ..redaction.parts import redact_context
    from ..redaction.policy import default_policy

    clean = redact_context(above, default_policy().at("span"))
    return (context, above) if clean is above else (with_span(context, NonRecordingSpan(clean)), clean)


class SpanStarter:
    """Starts the spans of one tracer, of one kind."""

    def __init__(self, tracer: Any, kind: SpanKind = SpanKind.CLIENT) -> None:
        self._tracer = tracer
        self._kind = kind
        self._template: dict[str, Any] | None = None
        self._parts: tuple[Any, ...] = ()
        self._maxlen = 0
        self._roots = self._children = self._remote = False
        self._random = 0
        self._next: Callable[[int], int] = getrandbits

    def start(
        self, name: str, context: Context, above: SpanContext | None, attributes: Mapping[str, Any], start_ns: int
    ) -> Span:
        """Start a span in ``context``, whose span has the context ``above`` (None: none). Raises what processors do."""
        if above is not None and above.trace_state:
            context, above = _without_secrets(context, above)
        template = self._learned()
        quick = self._quick(template, name, above, attributes, start_ns) if template is not None else None
        if quick is None:
            return self._tracer.start_span(
                name,
                context=context,
                kind=self._kind,
                attributes=attributes,
                start_time=start_ns,
                record_exception=False,
                set_status_on_exception=False,
            )
        quick._span_processor.on_start(quick, parent_context=context)
        return quick

    def _quick(
        self,
        template: dict[str, Any],
        name: str,
        above: SpanContext | None,
        attributes: Mapping[str, Any],
        start_ns: int,
    ) -> QuickSpan | None:
        if above is None or not above.is_valid:
            if not self._roots:
                return None
            above, trace_id, state, flags = None, self._next(128) or 1, None, self._random
        else:
            flags = above.trace_flags
            if not flags & _SAMPLED or not (self._remote if above.is_remote else self._children):
                return None
            trace_id, state, flags = above.trace_id, above.trace_state, flags & _RANDOM
        clean = _clean(attributes)
        if clean is None or len(clean) > self._maxlen:
            return None
        bounded: Any = _new(BoundedAttributes)
        bounded.__dict__ = {
            "_dict": clean,
            "maxlen": self._maxlen,
            "dropped": 0,
            "max_value_len": None,
            "_lock": Lock(),
            "_immutable": False,
        }
        span: Any = _new(QuickSpan)
        span.__dict__ = fields = template.copy()
        fields["_name"] = name
        fields["_context"] = SpanContext(
            trace_id, self._next(64) or 1, is_remote=False, trace_flags=_FLAGS[flags | _SAMPLED], trace_state=state
        )
        fields["_parent"] = above
        fields["_start_time"] = start_ns
        fields["_attributes"] = bounded
        fields["_lock"] = Lock()
        return span

    def _learned(self) -> dict[str, Any] | None:
        """The fields that all spans of the tracer share; looked up again where a part of the tracer was replaced."""
        tracer = self._tracer
        if type(tracer) is not Tracer:
            return None
        parts = (tracer.sampler, tracer.span_processor, tracer.resource, tracer.id_generator, tracer._tracer_config)
        if parts != self._parts:
            self._parts, self._template = parts, None
            with _LEARN:
                self._learn(tracer)
        return self._template

    def _learn(self, tracer: Any) -> None:
        limits, sampler = tracer._span_limits, tracer.sampler
        if not (
            tracer._tracer_config.is_enabled
            and type(tracer.id_generator) is RandomIdGenerator
            and type(getattr(tracer, "_tracer_metrics", None)).__name__ in {"NoneType", "NoOpTracerMetrics"}
            and limits.max_span_attributes is not None
            and limits.max_span_attribute_length is None
        ):
            return
        twin = _Span(
            name="",
            context=SpanContext(1, 1, is_remote=False),
            sampler=sampler,
            resource=tracer.resource,
            span_processor=tracer.span_processor,
            kind=self._kind,
            instrumentation_info=tracer.instrumentation_info,
            record_exception=False,
            set_status_on_exception=False,
            limits=limits,
            instrumentation_scope=tracer._instrumentation_scope,
        )
        fields = vars(twin)
        if {*fields, "_record_end_metrics"} != _LIVE or set(vars(twin._attributes)) != _BOUNDED:
            return
        self._roots = _always(sampler) or (type(sampler) is ParentBased and _always(sampler._root))
        parents = type(sampler) is ParentBased
        self._children = _always(sampler) or (parents and _always(sampler._local_parent_sampled))
        self._remote = _always(sampler) or (parents and _always(sampler._remote_parent_sampled))
        self._random = _RANDOM if getattr(tracer.id_generator, "is_trace_id_random", bool)() else 0
        self._maxlen = limits.max_span_attributes
        self._template = {key: value for key, value in fields.items() if key not in {"_events", "_links"}}


def _always(sampler: Any) -> bool:
    return type(sampler) is StaticSampler and sampler._decision is Decision.RECORD_AND_SAMPLE
