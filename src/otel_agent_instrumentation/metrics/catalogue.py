# SPDX-License-Identifier: Apache-2.0
"""Every metric that this package emits: name, kind, unit, description, labels from a closed list, buckets."""

from __future__ import annotations

from .. import semconv
from .agent_rows import ROWS as AGENT_ROWS
from .row import Metric

__all__ = ["CATALOGUE", "Metric"]

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
            group="agent",
        ),
        Metric(
            semconv.EXECUTE_TOOL_DURATION,
            "histogram",
            "s",
            "Duration of a tool's run.",
            (semconv.OPERATION_NAME, semconv.TOOL_NAME, semconv.TOOL_TYPE, semconv.AGENT_NAME, semconv.ERROR_TYPE),
            semconv.SECONDS,
            group="tools",
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
                group="mcp",
            )
            for name, side, labels in (
                (semconv.MCP_CLIENT_DURATION, "sender", (*_MCP, semconv.SERVER_ADDRESS, semconv.SERVER_PORT)),
                (semconv.MCP_SERVER_DURATION, "receiver", _MCP),
            )
        ),
        *AGENT_ROWS,
    )
}
