# SPDX-License-Identifier: Apache-2.0
"""The convention's histograms, from a call's facts. Label sets are built once and reused; every label is bounded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.metrics import Observation

from .. import semconv
from ..metrics.bound import Bound, Moment
from ..metrics.catalogue import CATALOGUE
from ..metrics.labels import Vocabulary
from .tool_calls import tool_calls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.metrics import CallbackOptions, Meter

    from ..core.runs import Run
    from ..core.spec import Call, Usage

_Key = tuple[Any, ...]
_MOST_SETS = 4096
_EMPTY = Context()


class _Recorders:
    """The bound recorders of one label set, made as they are first needed."""

    __slots__ = ("_bound", "_instruments", "_labels")

    def __init__(self, instruments: dict[str, Any], labels: dict[str, Any]) -> None:
        self._instruments = instruments
        self._labels = labels
        self._bound: dict[tuple[str, str | None], Bound] = {}

    def record(self, name: str, value: float, moment: Moment, extra: tuple[str, str] | None = None) -> None:
        key = (name, extra[1] if extra is not None else None)
        bound = self._bound.get(key)
        if bound is None:
            labels = {k: v for k, v in self._labels.items() if k in CATALOGUE[name].labels}
            if extra is not None:
                labels[extra[0]] = extra[1]
            bound = self._bound[key] = Bound(self._instruments[name], labels)
        bound.record(value, moment)


class Metrics:
    """The metrics observer."""

    name = "metrics"

    def __init__(self, meter: Meter, flavours: tuple[semconv.Flavour, ...]) -> None:
        self._meter = meter
        self._flavours = flavours
        self._vocabulary = Vocabulary()
        self._sets: dict[_Key, _Recorders] = {}
        names = [semconv.INVOKE_AGENT_DURATION]
        for flavour in flavours:
            names += [flavour.duration, flavour.time_to_first_chunk]
            names += [flavour.token_usage] if flavour.token_usage else []
            names += [name for _, name in (*flavour.usage_counters, *flavour.usage_histograms)]
        self._instruments = {name: _instrument(meter, name) for name in names}
        row = CATALOGUE[semconv.TOOL_CALLS_EXPIRED]
        meter.create_observable_counter(row.name, [_expired], unit=row.unit, description=row.description)

    def on_end(self, call: Call) -> None:
        """Record duration, time to first chunk and tokens, with the call's span as exemplar."""
        if call.api.durations is not None:
            self._durations(call, call.api.durations)
            return
        request, response = call.request, call.response
        recorders = self._recorders(
            (
                request.operation,
                request.provider,
                request.model,
                response.model if response is not None else None,
                request.address,
                request.port,
                call.run.agent if call.run is not None else None,
                call.error_type,
            ),
            _LABELS,
        )
        moment = Moment(call.context, call.end_ns)
        if call.more:
            moment.sampled = False  # one exemplar a burst leads to a span as well as a hundred do
        usage = response.usage if response is not None else None
        for flavour in self._flavours:
            recorders.record(flavour.duration, call.duration, moment)
            if request.stream and call.first_chunk is not None:
                recorders.record(flavour.time_to_first_chunk, call.first_chunk, moment)
            if usage is not None:
                _tokens(flavour, usage, recorders, moment)

    def _durations(self, call: Call, names: tuple[str, ...]) -> None:
        """Record the duration of what is no model call, or count it: its labels are what its span started with."""
        values: dict[str, Any] = {
            semconv.AGENT_NAME: call.run.agent if call.run is not None else None,
            semconv.ERROR_TYPE: call.error_type,
            **(call.started or {}),
            **(call.request.labels or {}),
        }
        moment = Moment(call.context, call.end_ns)
        for name in names:
            value = call.duration if CATALOGUE[name].kind == "histogram" else 1
            self._one(name, value, values, moment)

    def _one(self, name: str, value: float, values: dict[str, Any], moment: Moment) -> None:
        wanted = CATALOGUE[name].labels
        if name not in self._instruments:
            self._instruments[name] = _instrument(self._meter, name)
        key = (name, *map(values.get, wanted))
        self._recorders(key, ("", *wanted)).record(name, value, moment)

    def measure(
        self, name: str, value: float, labels: dict[str, Any], run: Run | None, context: Context | None = None
    ) -> None:
        """Record ``value`` in the metric ``name``, with the run's agent and those of ``labels`` that it has.

        ``context``: its span becomes the exemplar.
        """
        values = {**labels, semconv.AGENT_NAME: run.agent if run is not None else None}
        self._one(name, value, values, Moment(context or _EMPTY, time.time_ns()))

    def cycle_began(self, run: Run) -> None:
        """Count a cycle."""
        self.measure(semconv.CYCLES, 1, {}, run, run.context)

    def state_entered(self, state: str, run: Run | None) -> None:
        """Count an entry into a state."""
        self.measure(semconv.STATE_ENTRIES, 1, {semconv.STATE: state}, run)

    def run_ended(self, run: Run, seconds: float, error: str | None, context: Context | None) -> None:
        """Record a run's duration."""
        labels = {
            semconv.OPERATION_NAME: semconv.INVOKE_AGENT,
            semconv.AGENT_NAME: self._vocabulary.bounded(semconv.AGENT_NAME, run.agent),
            semconv.RUN_OUTCOME: run.outcome,
        }
        if error is not None:
            labels[semconv.ERROR_TYPE] = self._vocabulary.bounded(semconv.ERROR_TYPE, error)
        self._instruments[semconv.INVOKE_AGENT_DURATION].record(seconds, labels, context or _EMPTY)

    def _recorders(self, key: _Key, names: tuple[str, ...]) -> _Recorders:
        known = self._sets.get(key)
        if known is not None:
            return known
        labels: dict[str, Any] = {}
        for name, value in zip(names, key, strict=True):
            if name and value is not None:
                labels[name] = self._vocabulary.bounded(name, value)
        made = _Recorders(self._instruments, labels)
        if len(self._sets) < _MOST_SETS:  # beyond it names are invented: bounded labels, no reuse
            self._sets[key] = made
        return made


def _expired(options: CallbackOptions) -> Iterable[Observation]:  # noqa: ARG001 - OTel's signature
    return [Observation(count, {semconv.REASON: reason}) for reason, count in tool_calls.expired().items()]


_LABELS = (
    semconv.OPERATION_NAME,
    semconv.PROVIDER_NAME,
    semconv.REQUEST_MODEL,
    semconv.RESPONSE_MODEL,
    semconv.SERVER_ADDRESS,
    semconv.SERVER_PORT,
    semconv.AGENT_NAME,
    semconv.ERROR_TYPE,
)


def _tokens(flavour: semconv.Flavour, usage: Usage, recorders: _Recorders, moment: Moment) -> None:
    if flavour.token_usage is not None:
        if usage.input is not None:
            recorders.record(flavour.token_usage, usage.input, moment, (semconv.TOKEN_TYPE, "input"))
        if usage.output is not None:
            recorders.record(flavour.token_usage, usage.output, moment, (semconv.TOKEN_TYPE, "output"))
    for field, name in flavour.usage_counters:
        value = getattr(usage, field)
        if value is not None:
            recorders.record(name, value, moment, (semconv.TOKEN_MODALITY, "unknown"))
    for field, name in flavour.usage_histograms:
        value = getattr(usage, field)
        if value is not None:
            recorders.record(name, value, moment)


def _instrument(meter: Meter, name: str) -> Any:
    row = CATALOGUE[name]
    if row.kind == "counter":
        return meter.create_counter(name, unit=row.unit, description=row.description)
    return meter.create_histogram(
        name, unit=row.unit, description=row.description, explicit_bucket_boundaries_advisory=list(row.buckets)
    )
