# SPDX-License-Identifier: Apache-2.0
"""The rows of the catalogue whose names are our own: runs, tools, cost, events, the pipeline, the agent's own state."""

from __future__ import annotations

from functools import partial

from .. import semconv
from .row import OURS, Metric

_own = partial(Metric, source=OURS)
_agent = partial(_own, group="agent")
_tools = partial(_own, group="tools")
_cost = partial(_own, group="cost")
_events = partial(_own, group="events")
_safety = partial(_own, group="safety")
_pipeline = partial(_own, group="pipeline")
_state = partial(_own, group="state")

_OF_AGENT = (semconv.AGENT_NAME,)
_OF_COST = (semconv.PROVIDER_NAME, semconv.REQUEST_MODEL, semconv.AGENT_NAME)
_OF_ACTION = (semconv.ACTION_TYPE, semconv.AGENT_NAME, semconv.SUCCESS)
_OF_EVENT = (
    semconv.EVENT_SOURCE,
    semconv.EVENT_NAME,
    semconv.AGENT_NAME,
    semconv.TASK,
    semconv.ENVIRONMENT,
)
_OF_QUEUE = (semconv.SIGNAL, semconv.EXPORTER)

ROWS = (
    # runs
    _agent(
        semconv.RUNS,
        "counter",
        "{run}",
        "Runs that ended, by outcome.",
        (semconv.AGENT_NAME, semconv.RUN_OUTCOME, semconv.TASK, semconv.ENVIRONMENT),
        zero="every outcome, when the first run of an agent and task begins",
    ),
    _agent(semconv.RUNS_ACTIVE, "updowncounter", "{run}", "Runs that are going on.", _OF_AGENT),
    _agent(
        semconv.CYCLES_OF_RUN,
        "histogram",
        "{cycle}",
        "Cycles of a run.",
        (semconv.AGENT_NAME, semconv.RUN_OUTCOME),
        semconv.RUN_CYCLES_EDGES,
    ),
    _agent(semconv.CYCLES, "counter", "{cycle}", "Cycles that began.", _OF_AGENT),
    _agent(
        semconv.CYCLE_DURATION,
        "histogram",
        "s",
        "Duration of a cycle that the agent marks as one.",
        (semconv.AGENT_NAME, semconv.ERROR_TYPE),
        semconv.RUN_SECONDS,
    ),
    _agent(
        semconv.STEP_DURATION,
        "histogram",
        "s",
        "Duration of a step of a plan.",
        (semconv.AGENT_NAME, semconv.STEP_STATUS, semconv.ERROR_TYPE),
        semconv.RUN_SECONDS,
    ),
    _agent(
        semconv.STATE_ENTRIES,
        "counter",
        "{entry}",
        "How often the agent went into a state.",
        (semconv.AGENT_NAME, semconv.STATE),
    ),
    _agent(
        semconv.STATE_DWELL,
        "histogram",
        "s",
        "How long the agent stayed in a state.",
        (semconv.AGENT_NAME, semconv.STATE),
        semconv.RUN_SECONDS,
    ),
    _agent(
        semconv.ACTIONS,
        "counter",
        "{action}",
        "What the agent did: model calls by operation, tools (`execute_tool`) and commands (`command`) that ended.",
        _OF_ACTION,
        zero="success and failure, with the first action of a type",
    ),
    _agent(semconv.LATENCY, "histogram", "s", "How long such an action took.", _OF_ACTION, semconv.SECONDS),
    # tools
    _tools(
        semconv.TOOL_CALLS,
        "counter",
        "{call}",
        "Tool calls, measured ones and those that only their results tell of.",
        (
            semconv.OPERATION_NAME,
            semconv.TOOL_NAME,
            semconv.TOOL_TYPE,
            semconv.AGENT_NAME,
            semconv.ERROR_TYPE,
            semconv.TOOL_INFERRED,
        ),
    ),
    _tools(
        semconv.TOOL_CALLS_EXPIRED,
        "counter",
        "{call}",
        "Tool calls that a model asked for and whose result was never seen, by why they were forgotten.",
        (semconv.REASON,),
    ),
    # cost
    _cost(
        semconv.COST_USD,
        "counter",
        "{USD}",
        "Price of model calls in US dollars, as the price table says; a call without a known price adds nothing.",
        _OF_COST,
        zero="with the first call of a model",
    ),
    _cost(
        semconv.COST_UNPRICED,
        "counter",
        "{call}",
        "Model calls that used tokens and whose price is unknown. Counted where there are prices at all.",
        _OF_COST,
        zero="with the first call of a model",
    ),
    # events
    _events(
        semconv.EVENTS,
        "counter",
        "{event}",
        "Events of the agent, by the envelope's `source` and `event`.",
        _OF_EVENT,
    ),
    _events(
        semconv.EVENT_VALUE,
        "gauge",
        "",
        "The last value of a number in an event's payload, e.g. the score of `plan.generated`.",
        (semconv.EVENT_SOURCE, semconv.EVENT_NAME, semconv.EVENT_FIELD, semconv.AGENT_NAME),
    ),
    # safety
    _safety(
        semconv.REDACTIONS,
        "counter",
        "{value}",
        "Values that redaction replaced, by rule (`key`: by the name of a field; `error`: a fault) and place.",
        (semconv.REDACTION_RULE, semconv.REDACTION_PLACE),
        zero="the rule `error`, at the start",
    ),
    _safety(
        semconv.LOOPS,
        "counter",
        "{loop}",
        "Suspected loops: the same model call or tool call with the same arguments, again and again in a run.",
        (semconv.AGENT_NAME, semconv.LOOP_KIND),
        zero="both kinds, when the first run of an agent begins",
    ),
    _safety(
        semconv.CONTENT_CAPTURE,
        "gauge",
        "",
        "Whether messages are recorded: 1 or 0.",
        (semconv.CONTENT_MODE,),
    ),
    # the pipeline
    _pipeline(
        semconv.TELEMETRY_EMITTED,
        "counter",
        "{item}",
        "Spans, log records and metric points that were handed to an exporter's queue.",
        _OF_QUEUE,
        zero="at the start",
    ),
    _pipeline(
        semconv.TELEMETRY_EXPORTED,
        "counter",
        "{item}",
        "Those that the receiver took.",
        _OF_QUEUE,
        zero="at the start",
    ),
    _pipeline(
        semconv.TELEMETRY_DROPPED,
        "counter",
        "{item}",
        "Spans, log records and metric points that could not be delivered, by signal and reason.",
        (*_OF_QUEUE, semconv.REASON),
        zero="the reason `queue_full`, at the start",
    ),
    _pipeline(semconv.TELEMETRY_QUEUED, "gauge", "{item}", "Those that wait for delivery.", _OF_QUEUE),
    _pipeline(
        semconv.FAULTS,
        "counter",
        "{fault}",
        "Faults of this package that were contained; `otel-agent doctor` says where.",
        (),
        zero="at the start",
    ),
    Metric(
        semconv.PROCESS_MEMORY,
        "updowncounter",
        "By",
        "Physical memory of the process. Always there: its absence is the absence of telemetry.",
        (),
        source="OTel semantic conventions",
        group="process",
    ),
    # what an agent says of itself
    _state(semconv.EFFICIENCY, "gauge", "", "Efficiency, as the agent itself says.", _OF_AGENT),
    _state(semconv.ENTROPY, "gauge", "", "Entropy of its state.", _OF_AGENT),
    _state(semconv.GAPS, "gauge", "", "Gaps that it still sees.", _OF_AGENT),
    _state(semconv.MISFITS, "gauge", "", "What stands in the wrong place.", _OF_AGENT),
    _state(semconv.PATCHES_APPLIED, "counter", "{patch}", "Patches that it applied.", _OF_AGENT),
)
