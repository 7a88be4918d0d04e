# SPDX-License-Identifier: Apache-2.0
"""The convention's histograms, from a call's facts. Label sets are built once and reused; every label is bounded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, get_args

from opentelemetry.context import Context
from opentelemetry.metrics import Observation

from .. import semconv
from ..envelope.line import source as source_of
from ..metrics.bound import Bound, Moment
from ..metrics.catalogue import CATALOGUE
from ..metrics.instruments import make, observe
from ..metrics.labels import Vocabulary
from .actions import Actions, Waiting
from .counted import EVENT_FIELDS, EventCounts
from .tool_calls import tool_calls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.metrics import Meter

    from ..core.runs import Run
    from ..core.spec import Call, Usage

_Key = tuple[Any, ...]
_MOST_SETS = 4096
_EMPTY = Context()


class Recorders:
    """The bound recorders of one label set, made as they are first needed."""

    __slots__ = ("_bound", "_instruments", "actions", "labels")

    def __init__(self, instruments: dict[str, Any], labels: dict[str, Any]) -> None:
        self._instruments = instruments
        self.labels = labels
        self.actions: Waiting | None = None
        self._bound: dict[tuple[str, str | None], Bound] = {}

    def record(self, name: str, value: float, moment: Moment, extra: tuple[str, str] | None = None) -> None:
        """Record ``value`` in the metric ``name``; ``extra``: a label and its value beside those of the set."""
        key = (name, extra[1] if extra is not None else None)
        bound = self._bound.get(key)
        if bound is None:
            labels = {k: v for k, v in self.labels.items() if k in CATALOGUE[name].labels}
            if extra is not None:
                labels[extra[0]] = extra[1]
            bound = self._bound[key] = Bound(self._instruments[name], labels)
        bound.record(value, moment)


_Measured = tuple[list[tuple[str, bool, Recorders]], "Waiting | None"]


class Metrics:
    """The metrics observer."""

    name = "metrics"

    def __init__(self, meter: Meter, flavours: tuple[semconv.Flavour, ...], environment: str | None = None) -> None:
        self._meter = meter
        self._environment = environment
        self._flavours = flavours
        self._vocabulary = Vocabulary()
        self._sets: dict[_Key, Recorders] = {}
        self._measured: dict[_Key, _Measured] = {}
        self._wanted: dict[tuple[str, ...], tuple[str, ...]] = {}
        names = [semconv.INVOKE_AGENT_DURATION]
        for flavour in flavours:
            names += [flavour.duration, flavour.time_to_first_chunk]
            names += [flavour.token_usage] if flavour.token_usage else []
            names += [name for _, name in (*flavour.usage_counters, *flavour.usage_histograms)]
        self._instruments = {name: make(meter, CATALOGUE[name]) for name in names}
        self._actions = Actions(meter)
        self._counts = EventCounts(self._of_event)
        self.event = self._counts.note
        """Counts an event by name, payload and run (E8), and keeps the numbers of its payload (E6)."""
        self._agents: set[tuple[str, str | None]] = set()
        observe(meter, CATALOGUE[semconv.TOOL_CALLS_EXPIRED], self._collected)

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
        if recorders.actions is None:
            recorders.actions = self._action(request.operation, recorders.labels, call.error_type)
        recorders.actions.note(call.duration)

    def _action(self, kind: str, labels: dict[str, Any], error: str | None) -> Waiting:
        return self._actions.of(kind, labels.get(semconv.AGENT_NAME), success=error is None)

    def _durations(self, call: Call, names: tuple[str, ...]) -> None:
        """Record the duration of what is no model call, or count it: its labels are what its span started with."""
        wanted = self._wanted.get(names)
        if wanted is None:
            wanted = self._wanted[names] = tuple(
                dict.fromkeys(label for name in names for label in CATALOGUE[name].labels)
            )
        values: dict[str, Any] = {
            semconv.AGENT_NAME: call.run.agent if call.run is not None else None,
            semconv.ERROR_TYPE: call.error_type,
            **(call.started or {}),
            **(call.request.labels or {}),
        }
        key = (names, call.error_type, *map(values.get, wanted))
        measured = self._measured.get(key)
        if measured is None:
            measured = self._measure_of(names, values, call.error_type)
            if len(self._measured) < _MOST_SETS:
                self._measured[key] = measured
        moment = Moment(call.context, call.end_ns)
        if call.more:
            moment.sampled = False
        recorders, action = measured
        for name, timed, recorder in recorders:
            recorder.record(name, call.duration if timed else 1, moment)
        if action is not None:
            action.note(call.duration)

    def _measure_of(self, names: tuple[str, ...], values: dict[str, Any], error: str | None) -> _Measured:
        """What calls with these ``values`` of labels are recorded in: (metric, whether it is timed, recorders) each."""
        found: list[tuple[str, bool, Recorders]] = []
        action: Waiting | None = None
        for name in names:
            recorders = self._recorders_for(name, values)
            found.append((name, CATALOGUE[name].kind == "histogram", recorders))
            if name == semconv.EXECUTE_TOOL_DURATION:
                command = values.get(semconv.TOOL_NAME) == semconv.COMMAND_TOOL
                kind = semconv.COMMAND_TOOL if command else semconv.EXECUTE_TOOL
                action = self._action(kind, recorders.labels, error)
        return found, action

    def _recorders_for(self, name: str, values: dict[str, Any]) -> Recorders:
        wanted = CATALOGUE[name].labels
        self._there(name)
        return self._recorders((name, *map(values.get, wanted)), ("", *wanted))

    def recorders(self, names: tuple[str, ...], values: tuple[Any, ...], run: Run | None) -> Recorders:
        """The recorders of counters ``names``, which begin at 0, for ``values`` of their labels but the run's agent."""
        agent = run.agent if run is not None else None
        key = (names[0], *values, agent)
        known = self._sets.get(key)
        if known is None:
            wanted = (label for label in CATALOGUE[names[0]].labels if label != semconv.AGENT_NAME)
            known = self._recorders(key, ("", *wanted, semconv.AGENT_NAME))
            moment = Moment(_EMPTY, time.time_ns())
            for name in names:
                known.record(self._there(name), 0, moment)
        return known

    def measure(
        self, name: str, value: float, labels: dict[str, Any], run: Run | None, context: Context | None = None
    ) -> None:
        """Record ``value`` in the metric ``name``, with the run's agent and those of ``labels`` that it has.

        ``context``: its span becomes the exemplar.
        """
        values = {**labels, semconv.AGENT_NAME: run.agent if run is not None else None}
        self._recorders_for(name, values).record(name, value, Moment(context or _EMPTY, time.time_ns()))

    def cycle_began(self, run: Run) -> None:
        """Count a cycle."""
        self.measure(semconv.CYCLES, 1, {}, run, run.context)

    def state_entered(self, state: str, run: Run | None) -> None:
        """Count an entry into a state."""
        self.measure(semconv.STATE_ENTRIES, 1, {semconv.STATE: state}, run)

    def run_began(self, run: Run) -> None:
        """Count it as going on. What is to be counted of its agent begins at 0: the first failure is an increase."""
        self.measure(semconv.RUNS_ACTIVE, 1, {}, run)
        known = (run.agent, run.task)
        if known not in self._agents and len(self._agents) < _MOST_SETS:
            self._agents.add(known)
            for outcome in get_args(semconv.RunOutcome):
                self.measure(semconv.RUNS, 0, self._of_run(run, outcome), run)
            for kind in ("model", "tool"):
                self.measure(semconv.LOOPS, 0, {semconv.LOOP_KIND: kind}, run)

    def run_ended(self, run: Run, seconds: float, error: str | None, context: Context | None) -> None:
        """Record a run's end: duration, cycles, outcome."""
        labels = {semconv.OPERATION_NAME: semconv.INVOKE_AGENT, **self._of_run(run, run.outcome)}
        if error is not None:
            labels[semconv.ERROR_TYPE] = error
        self.measure(semconv.RUNS_ACTIVE, -1, {}, run)
        self.measure(semconv.RUNS, 1, labels, run, context)
        self.measure(semconv.CYCLES_OF_RUN, run.cycle, labels, run, context)
        self.measure(semconv.INVOKE_AGENT_DURATION, seconds, labels, run, context)

    def _of_run(self, run: Run, outcome: str) -> dict[str, Any]:
        return {semconv.RUN_OUTCOME: outcome, semconv.TASK: run.task, semconv.ENVIRONMENT: self._environment}

    def loop(self, kind: str, run: Run) -> None:
        """Count a suspected loop."""
        self.measure(semconv.LOOPS, 1, {semconv.LOOP_KIND: kind}, run)

    def _of_event(self, name: str, run: Run | None) -> Recorders:
        agent, task = (run.agent, run.task) if run is not None else (None, None)
        key = (semconv.EVENTS, source_of(name, agent), name, task, self._environment, agent)
        for metric in (semconv.EVENTS, semconv.EVENT_VALUE) if name in EVENT_FIELDS else (semconv.EVENTS,):
            self._there(metric)
        return self._recorders(key, _EVENT_LABELS)

    def _there(self, name: str) -> str:
        """``name``, whose instrument is there from now on."""
        if name not in self._instruments:
            self._instruments[name] = make(self._meter, CATALOGUE[name])
        return name

    def _collected(self) -> Iterable[Observation]:
        """At a collection, before the points are read."""
        self._actions.record()
        self._counts.record()
        return [Observation(count, {semconv.REASON: reason}) for reason, count in tool_calls.expired().items()]

    def _recorders(self, key: _Key, names: tuple[str, ...]) -> Recorders:
        known = self._sets.get(key)
        if known is not None:
            return known
        labels: dict[str, Any] = {}
        for name, value in zip(names, key, strict=True):
            if name and value is not None:
                labels[name] = self._vocabulary.bounded(name, value)
        made = Recorders(self._instruments, labels)
        if len(self._sets) < _MOST_SETS:  # beyond it names are invented: bounded labels, no reuse
            self._sets[key] = made
        return made


_EVENT_LABELS = (
    "",
    semconv.EVENT_SOURCE,
    semconv.EVENT_NAME,
    semconv.TASK,
    semconv.ENVIRONMENT,
    semconv.AGENT_NAME,
)
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


def _tokens(flavour: semconv.Flavour, usage: Usage, recorders: Recorders, moment: Moment) -> None:
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
