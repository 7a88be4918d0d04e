# SPDX-License-Identifier: Apache-2.0
"""The metrics that lines of the ledger stand for, measured again by what measured them in the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from opentelemetry.context import Context

from .. import semconv
from ..core.runs import Run
from ..core.spec import Api, Call, Request, Response, Usage
from ._tree import object_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..envelope.line import Line
    from ..signals.metrics import Metrics

_NO_NEWS = frozenset({semconv.EVENT_RESOURCE, semconv.EVENT_METRICS, semconv.EVENT_PIPELINE})
_MODEL_CALLS = frozenset({semconv.CHAT, semconv.TEXT_COMPLETION, semconv.EMBEDDINGS, semconv.FETCH_RESPONSE})
_BLOCKS = {semconv.SPAN_CYCLE: semconv.CYCLE_DURATION, semconv.SPAN_STEP: semconv.STEP_DURATION}
_SECONDS = 1e-3  # of a millisecond
_OUTCOMES = frozenset(get_args(semconv.RunOutcome))


class Numbers:
    """Takes lines, in any order."""

    def __init__(self, measured: Metrics) -> None:
        self._measured = measured
        self._cycles: dict[str, int] = {}

    def take(self, line: Line) -> None:
        """Measure what ``line`` tells. Raises what a line of somebody else's making makes it raise: contain it."""
        if line.event in _NO_NEWS:
            return
        tags = object_of(line.tags)
        agent = tags.get("agent") or line.payload.get("attributes", {}).get(semconv.AGENT_NAME)
        run = Run(line.run_id, str(agent) if agent else "agent", cycle=line.cycle)
        run.task = tags.get("task")
        self._cycle(run)
        if line.event == semconv.EVENT_SPAN_ENDED:
            self._span(line.payload, run)
            return
        self._measured.event(line.event, line.payload, run)
        if line.event == semconv.EVENT_STATE_ENTERED:
            self._measured.state_entered(str(line.payload["state"]), run)
        elif line.event == semconv.EVENT_STATE_EXITED:
            labels = {semconv.STATE: str(line.payload["state"])}
            self._measured.measure(semconv.STATE_DWELL, line.payload["dwell_ms"] * _SECONDS, labels, run)
        elif line.event == semconv.EVENT_LOOP:
            self._measured.loop(str(line.payload[semconv.LOOP_KIND]), run)

    def _cycle(self, run: Run) -> None:
        """Count the cycles of a run as they are first seen."""
        before = self._cycles.get(run.id, 0)
        if run.cycle > before:
            self._cycles[run.id] = run.cycle
            for _ in range(run.cycle - before):
                self._measured.cycle_began(run)

    def _span(self, payload: Mapping[str, Any], run: Run) -> None:
        attributes: dict[str, Any] = payload["attributes"]
        operation = attributes.get(semconv.OPERATION_NAME)
        seconds = payload["duration_ms"] * _SECONDS
        error = attributes.get(semconv.ERROR_TYPE)
        if operation == semconv.INVOKE_AGENT and semconv.RUN_OUTCOME in attributes:
            self._run(attributes, run, seconds, error)
        elif operation in _MODEL_CALLS and semconv.PROVIDER_NAME in attributes:
            self._model(attributes, payload, run)
        elif semconv.MCP_METHOD_NAME in attributes:
            client = payload["kind"] == "CLIENT"
            tool = (
                (semconv.EXECUTE_TOOL_DURATION, semconv.TOOL_CALLS)
                if client and semconv.TOOL_NAME in attributes
                else ()
            )
            self._other(
                attributes, payload, run, semconv.MCP_CLIENT_DURATION if client else semconv.MCP_SERVER_DURATION, *tool
            )
        elif operation == semconv.EXECUTE_TOOL:
            names = (semconv.TOOL_CALLS,) if attributes.get(semconv.TOOL_INFERRED) else (semconv.EXECUTE_TOOL_DURATION,)
            counted = attributes.get(semconv.TOOL_TYPE) != semconv.COMMAND_TOOL and names != (semconv.TOOL_CALLS,)
            self._other(attributes, payload, run, *names, *([semconv.TOOL_CALLS] if counted else []))
        elif payload["name"] in _BLOCKS:
            self._measured.measure(_BLOCKS[payload["name"]], seconds, attributes, run)

    def _run(self, attributes: Mapping[str, Any], run: Run, seconds: float, error: str | None) -> None:
        outcome = attributes[semconv.RUN_OUTCOME]
        run.outcome = outcome if outcome in _OUTCOMES else "error"
        run.cycle = int(attributes.get(semconv.RUN_CYCLES, 0))
        run.task = attributes.get(semconv.TASK, run.task)
        self._measured.run_began(run)
        self._measured.run_ended(run, seconds, error, None)
        self._cycles.pop(run.id, None)

    def _call(self, attributes: Mapping[str, Any], payload: Mapping[str, Any], run: Run, durations: Any) -> Call:
        operation = attributes.get(semconv.OPERATION_NAME, "")
        request = Request(operation, attributes.get(semconv.PROVIDER_NAME, ""))
        api = Api(operation, lambda body, request: None, lambda node: Response(), durations=durations)  # noqa: ARG005
        call = Call("mirror", api, request, Context())
        call.run = run
        call.duration = payload["duration_ms"] * _SECONDS
        call.end_ns = payload["end_time_unix_nano"]
        call.error_type = attributes.get(semconv.ERROR_TYPE)
        return call

    def _model(self, attributes: Mapping[str, Any], payload: Mapping[str, Any], run: Run) -> None:
        call = self._call(attributes, payload, run, None)
        request = call.request
        request.model = attributes.get(semconv.REQUEST_MODEL)
        request.address, request.port = attributes.get(semconv.SERVER_ADDRESS), attributes.get(semconv.SERVER_PORT)
        request.stream = bool(attributes.get(semconv.REQUEST_STREAM))
        call.first_chunk = attributes.get(semconv.RESPONSE_TIME_TO_FIRST_CHUNK)
        call.response = Response(model=attributes.get(semconv.RESPONSE_MODEL))
        call.response.usage = Usage(
            attributes.get(semconv.USAGE_INPUT_TOKENS),
            attributes.get(semconv.USAGE_OUTPUT_TOKENS),
            attributes.get(semconv.USAGE_CACHE_READ),
            attributes.get(semconv.USAGE_CACHE_CREATION, attributes.get(semconv.USAGE_CACHE_WRITE)),
            attributes.get(semconv.USAGE_REASONING),
        )
        self._measured.on_end(call)
        cost = attributes.get(semconv.COST_MICROUSD)
        if cost is not None:
            labels = {semconv.PROVIDER_NAME: request.provider, semconv.REQUEST_MODEL: request.model}
            self._measured.measure(semconv.COST_USD, cost / 1e6, labels, run)

    def _other(self, attributes: dict[str, Any], payload: Mapping[str, Any], run: Run, *durations: str) -> None:
        call = self._call(attributes, payload, run, durations)
        call.started = attributes
        self._measured.on_end(call)
