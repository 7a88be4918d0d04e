# SPDX-License-Identifier: Apache-2.0
"""What each name of :mod:`.semconv` may carry: whether it is content, whether it may ever be a metric label."""

from __future__ import annotations

from typing import Literal, NamedTuple

from . import semconv

Requirement = Literal["required", "conditional", "recommended", "opt-in"]
Cardinality = Literal["low", "bounded", "high"]


class Attribute(NamedTuple):
    """One attribute's contract: may it be absent, does it carry content, may it ever be a metric label.

    ``cardinality``: ``low`` is a closed vocabulary, ``bounded`` is limited by contracts.md 6 before it becomes a
    label, ``high`` is never a label.
    """

    requirement: Requirement = "recommended"
    content: bool = False
    cardinality: Cardinality = "high"


_LOW = Attribute(cardinality="low")
_HIGH = Attribute()
_CONTENT = Attribute("opt-in", content=True)

ATTRIBUTES: dict[str, Attribute] = {
    semconv.OPERATION_NAME: Attribute("required", cardinality="low"),
    semconv.PROVIDER_NAME: Attribute("required", cardinality="bounded"),
    semconv.REQUEST_MODEL: Attribute("conditional", cardinality="bounded"),
    semconv.RESPONSE_MODEL: Attribute(cardinality="bounded"),
    semconv.SERVER_ADDRESS: Attribute(cardinality="bounded"),
    semconv.SERVER_PORT: Attribute("conditional", cardinality="bounded"),
    semconv.ERROR_TYPE: Attribute("conditional", cardinality="bounded"),
    semconv.AGENT_NAME: Attribute("conditional", cardinality="bounded"),
    semconv.TASK: Attribute("opt-in", cardinality="bounded"),
    semconv.TOOL_NAME: Attribute("required", cardinality="bounded"),
    semconv.TOOL_TYPE: _LOW,
    # semconv.MCP
    semconv.MCP_METHOD_NAME: Attribute("required", cardinality="bounded"),
    semconv.MCP_PROTOCOL_VERSION: _LOW,
    semconv.MCP_RESOURCE_URI: Attribute("conditional"),
    semconv.PROMPT_NAME: Attribute("conditional"),
    semconv.JSONRPC_REQUEST_ID: Attribute("conditional"),
    semconv.RPC_STATUS_CODE: Attribute("conditional", cardinality="bounded"),
    semconv.NETWORK_TRANSPORT: _LOW,
    semconv.TOOL_CALL_ID: _HIGH,
    semconv.TOOL_DESCRIPTION: _HIGH,
    semconv.TOOL_CALL_ARGUMENTS: _CONTENT,
    semconv.TOOL_CALL_RESULT: _CONTENT,
    semconv.TOKEN_TYPE: Attribute("required", cardinality="low"),
    semconv.TOKEN_MODALITY: Attribute("required", cardinality="low"),
    semconv.RUN_OUTCOME: Attribute("required", cardinality="low"),
    semconv.EXPORTER: _LOW,
    semconv.REDACTION_RULE: _LOW,
    semconv.REDACTION_PLACE: _LOW,
    semconv.REASON: _LOW,
    semconv.SIGNAL: _LOW,
    semconv.ACTION_TYPE: _LOW,
    semconv.SUCCESS: _LOW,
    semconv.EVENT_SOURCE: Attribute(cardinality="bounded"),
    semconv.EVENT_NAME: Attribute(cardinality="bounded"),
    semconv.EVENT_FIELD: _LOW,
    semconv.ENVIRONMENT: Attribute(cardinality="bounded"),
    semconv.CONTENT_MODE: _LOW,
    semconv.COST_SOURCE: _LOW,
    # of the run semconv.API
    semconv.STATE: Attribute(cardinality="bounded"),
    semconv.STEP_STATUS: _LOW,
    semconv.REVIEW_DECISION: _LOW,
    # tools
    semconv.TOOL_INFERRED: _LOW,
    semconv.TOOL_TIME: _LOW,
    semconv.LOOP_KIND: _LOW,
    semconv.LOOP_COUNT: _HIGH,
    **dict.fromkeys(
        (
            semconv.REQUEST_STREAM,
            semconv.REQUEST_ENCODING_FORMATS,
            semconv.REQUEST_REASONING_LEVEL,
            semconv.OUTPUT_TYPE,
            semconv.RESPONSE_STATUS,
            semconv.RESPONSE_FINISH_REASONS,
            semconv.OPENAI_SERVICE_TIER,
            semconv.STREAM_END,
            semconv.RUN_IMPLICIT,
            semconv.HTTP_STATUS,
        ),
        _LOW,
    ),
    **dict.fromkeys(
        (
            semconv.REQUEST_TEMPERATURE,
            semconv.REQUEST_TOP_P,
            semconv.REQUEST_TOP_K,
            semconv.REQUEST_MAX_TOKENS,
            semconv.REQUEST_FREQUENCY_PENALTY,
            semconv.REQUEST_PRESENCE_PENALTY,
            semconv.REQUEST_SEED,
            semconv.REQUEST_CHOICE_COUNT,
            semconv.REQUEST_PREVIOUS_RESPONSE_ID,
            semconv.CONVERSATION_ID,
            semconv.RESPONSE_ID,
            semconv.RESPONSE_TIME_TO_FIRST_CHUNK,
            semconv.USAGE_INPUT_TOKENS,
            semconv.USAGE_OUTPUT_TOKENS,
            semconv.USAGE_CACHE_READ,
            semconv.USAGE_CACHE_CREATION,
            semconv.USAGE_CACHE_WRITE,
            semconv.USAGE_REASONING,
            semconv.EMBEDDINGS_DIMENSION_COUNT,
            semconv.USER_ID,
            semconv.SESSION_ID,
            semconv.TASK_ID,
            semconv.PERSONA_ID,
            semconv.RUN_ID,
            semconv.CYCLE,
            semconv.RUN_CYCLES,
            semconv.TAGS,
            semconv.RETRY_COUNT,
            semconv.STREAM_CHUNKS,
            semconv.TOOL_CALL_COUNT,
            semconv.TOOL_CALL_NAMES,
            semconv.TOOL_CALL_IDS,
            semconv.REDACTION_FAULT,
            semconv.REDACTED_FIELDS,
            # of the run semconv.API
            semconv.RUN_STOP_REASON,
            semconv.STATE_DWELL_MS,
            semconv.STEP_INDEX,
            semconv.STEP_DESCRIPTION,
            semconv.STEP_DURATION_MS,
            semconv.STEP_RESULT,
            semconv.PLAN_STEP_COUNT,
            semconv.PLAN_SCORE,
            semconv.PLAN_TOOLS,
            semconv.REVIEW_CONFIDENCE,
            semconv.REVIEW_COMMENTS,
            semconv.REVIEW_ISSUES,
            semconv.OPTIMIZER_PROFILE,
            semconv.OPTIMIZER_HARDWARE,
            semconv.OPTIMIZER_THROUGHPUT,
            semconv.OPTIMIZER_LATENCY_MS,
            # Commands and files.
            semconv.PROCESS_EXECUTABLE_NAME,
            semconv.PROCESS_EXECUTABLE_PATH,
            semconv.PROCESS_COMMAND_ARGS,
            semconv.PROCESS_EXIT_CODE,
            semconv.PROCESS_PID,
            semconv.COMMAND_STDOUT_SIZE,
            semconv.COMMAND_STDOUT_DIGEST,
            semconv.COMMAND_STDERR_SIZE,
            semconv.COMMAND_STDERR_DIGEST,
            semconv.ARTIFACTS_CREATED,
            semconv.ARTIFACTS_MODIFIED,
            semconv.ARTIFACTS_DELETED,
            semconv.ARTIFACTS_UNTRACKED,
            semconv.COST_MICROUSD,
            semconv.RUN_COST_MICROUSD,
            semconv.COST_DATE,
        ),
        _HIGH,
    ),
    **dict.fromkeys(
        (
            semconv.INPUT_MESSAGES,
            semconv.OUTPUT_MESSAGES,
            semconv.SYSTEM_INSTRUCTIONS,
            semconv.TOOL_DEFINITIONS,
            semconv.REQUEST_STOP_SEQUENCES,
        ),
        _CONTENT,
    ),
}

EVENTS: frozenset[str] = frozenset(
    {
        # of the run semconv.API
        semconv.EVENT_PLAN_GENERATED,
        semconv.EVENT_STEP_STARTED,
        semconv.EVENT_STEP_COMPLETED,
        semconv.EVENT_REVIEW_FEEDBACK,
        semconv.EVENT_REVIEW_DECISION,
        semconv.EVENT_PROFILE_SELECTED,
        semconv.EVENT_BENCHMARK_COMPLETED,
        semconv.EVENT_STATE_ENTERED,
        semconv.EVENT_STATE_EXITED,
        semconv.EVENT_INFERENCE_DETAILS,
        semconv.EVENT_ATTEMPT,
        semconv.EVENT_RESOURCE,
        semconv.EVENT_SPAN_ENDED,
        semconv.EVENT_METRICS,
        semconv.EVENT_PIPELINE,
        # Commands and files.
        semconv.EVENT_COMMAND_STARTED,
        semconv.EVENT_COMMAND_COMPLETED,
        semconv.EVENT_EXECUTOR_ERROR,
        *semconv.EVENT_ARTIFACTS.values(),
        semconv.EVENT_LOOP,
    }
)


def declared(name: str) -> bool:
    """Whether an attribute name is declared here (metadata keys by their prefix)."""
    return name in ATTRIBUTES or name.startswith(semconv.METADATA_PREFIX)
