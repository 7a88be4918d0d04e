# SPDX-License-Identifier: Apache-2.0
"""Every metric that this package emits: name, kind, unit, description, labels from a closed list, buckets."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .. import semconv

_CALL = (
    semconv.OPERATION_NAME,
    semconv.PROVIDER_NAME,
    semconv.REQUEST_MODEL,
    semconv.RESPONSE_MODEL,
    semconv.SERVER_ADDRESS,
    semconv.SERVER_PORT,
    semconv.AGENT_NAME,
)

_MCP = (
    semconv.MCP_METHOD_NAME,
    semconv.OPERATION_NAME,
    semconv.TOOL_NAME,
    semconv.NETWORK_TRANSPORT,
    semconv.AGENT_NAME,
    semconv.ERROR_TYPE,
)


class Metric(NamedTuple):
    """One row of the catalogue. ``source``: where the name comes from."""

    name: str
    kind: Literal["histogram", "counter"]
    unit: str
    description: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()
    source: str = "OTel GenAI semantic conventions"


def _of(flavour: semconv.Flavour) -> list[Metric]:
    rows = [
        Metric(
            flavour.duration,
            "histogram",
            "s",
            "Duration of a model call.",
            (*_CALL, semconv.ERROR_TYPE),
            semconv.SECONDS,
        ),
        Metric(
            flavour.time_to_first_chunk,
            "histogram",
            "s",
            "Time from the request to the first chunk of a streamed answer.",
            _CALL,
            semconv.SECONDS,
        ),
    ]
    if flavour.token_usage is not None:
        labels = (*_CALL, semconv.TOKEN_TYPE)
        rows.append(
            Metric(flavour.token_usage, "histogram", "{token}", "Tokens used by a model call.", labels, semconv.TOKENS)
        )
    for field, name in flavour.usage_counters:
        labels = (*_CALL, semconv.TOKEN_MODALITY)
        rows.append(Metric(name, "counter", "{token}", f"Tokens used by model calls: {field}.", labels))
    for field, name in flavour.usage_histograms:
        rows.append(Metric(name, "histogram", "{token}", f"Tokens of one model call: {field}.", _CALL, semconv.TOKENS))
    return rows


CATALOGUE: dict[str, Metric] = {
    row.name: row
    for row in (
        *_of(semconv.FLAVOURS["1.41"]),
        *_of(semconv.FLAVOURS["latest"]),
        Metric(
            semconv.INVOKE_AGENT_DURATION,
            "histogram",
            "s",
            "Duration of an agent's run.",
            (semconv.OPERATION_NAME, semconv.AGENT_NAME, semconv.RUN_OUTCOME, semconv.ERROR_TYPE),
            semconv.RUN_SECONDS,
        ),
        Metric(
            semconv.EXECUTE_TOOL_DURATION,
            "histogram",
            "s",
            "Duration of a tool's run.",
            (semconv.OPERATION_NAME, semconv.TOOL_NAME, semconv.TOOL_TYPE, semconv.AGENT_NAME, semconv.ERROR_TYPE),
            semconv.SECONDS,
        ),
        # MCP
        *(
            Metric(
                name,
                "histogram",
                "s",
                f"Duration of an MCP request, as its {side} sees it.",
                labels,
                semconv.MCP_SECONDS,
            )
            for name, side, labels in (
                (semconv.MCP_CLIENT_DURATION, "sender", (*_MCP, semconv.SERVER_ADDRESS, semconv.SERVER_PORT)),
                (semconv.MCP_SERVER_DURATION, "receiver", _MCP),
            )
        ),
        # of the run API
        Metric(
            semconv.CYCLES,
            "counter",
            "{cycle}",
            "Cycles that began.",
            (semconv.AGENT_NAME,),
            source="otel-agent-instrumentation",
        ),
        Metric(
            semconv.CYCLE_DURATION,
            "histogram",
            "s",
            "Duration of a cycle that the agent marks as one.",
            (semconv.AGENT_NAME, semconv.ERROR_TYPE),
            semconv.RUN_SECONDS,
            source="otel-agent-instrumentation",
        ),
        Metric(
            semconv.STEP_DURATION,
            "histogram",
            "s",
            "Duration of a step of a plan.",
            (semconv.AGENT_NAME, semconv.STEP_STATUS, semconv.ERROR_TYPE),
            semconv.RUN_SECONDS,
            source="otel-agent-instrumentation",
        ),
        Metric(
            semconv.STATE_ENTRIES,
            "counter",
            "{entry}",
            "How often the agent went into a state.",
            (semconv.AGENT_NAME, semconv.STATE),
            source="otel-agent-instrumentation",
        ),
        Metric(
            semconv.STATE_DWELL,
            "histogram",
            "s",
            "How long the agent stayed in a state.",
            (semconv.AGENT_NAME, semconv.STATE),
            semconv.RUN_SECONDS,
            source="otel-agent-instrumentation",
        ),
        # tools
        Metric(
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
            source="otel-agent-instrumentation",
        ),
        Metric(
            semconv.TOOL_CALLS_EXPIRED,
            "counter",
            "{call}",
            "Tool calls that a model asked for and whose result was never seen, by why they were forgotten.",
            (semconv.REASON,),
            source="otel-agent-instrumentation",
        ),
        Metric(
            semconv.TELEMETRY_DROPPED,
            "counter",
            "{item}",
            "Spans, log records and metric points that could not be delivered, by signal and reason.",
            (semconv.SIGNAL, semconv.EXPORTER, semconv.REASON),
            source="otel-agent-instrumentation",
        ),
        Metric(
            semconv.REDACTIONS,
            "counter",
            "{value}",
            "Values that redaction replaced, by rule (`key`: by the name of a field; `error`: a fault) and place.",
            (semconv.REDACTION_RULE, semconv.REDACTION_PLACE),
            source="otel-agent-instrumentation",
        ),
    )
}
