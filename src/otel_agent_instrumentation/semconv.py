# SPDX-License-Identifier: Apache-2.0
"""Every attribute, event and metric name that this package emits, declared once.

Names follow OpenTelemetry's GenAI semantic conventions, which left the main repository after 1.41 and are being
renamed. A :class:`Flavour` holds what differs: ``1.41`` is what dashboards and the official packages use today,
``latest`` is the GenAI repository's main line. Our own names live under ``agent.*``.
Sources: https://opentelemetry.io/docs/specs/semconv/gen-ai/ and the semantic-conventions-genai repository.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

SCOPE = "otel_agent_instrumentation"
VERSION = "0.1.0"
"""The version of this package, also that of its instrumentation scope."""
SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"

# --- operations (gen_ai.operation.name) -----------------------------------------------------------------------------
CHAT = "chat"
TEXT_COMPLETION = "text_completion"
EMBEDDINGS = "embeddings"
FETCH_RESPONSE = "fetch_response"
INVOKE_AGENT = "invoke_agent"
EXECUTE_TOOL = "execute_tool"
PLAN = "plan"

# --- span attributes: the GenAI convention --------------------------------------------------------------------------
OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_TOP_P = "gen_ai.request.top_p"
REQUEST_TOP_K = "gen_ai.request.top_k"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_FREQUENCY_PENALTY = "gen_ai.request.frequency_penalty"
REQUEST_PRESENCE_PENALTY = "gen_ai.request.presence_penalty"
REQUEST_STOP_SEQUENCES = "gen_ai.request.stop_sequences"
REQUEST_SEED = "gen_ai.request.seed"
REQUEST_CHOICE_COUNT = "gen_ai.request.choice.count"
REQUEST_STREAM = "gen_ai.request.stream"
REQUEST_ENCODING_FORMATS = "gen_ai.request.encoding_formats"
REQUEST_REASONING_LEVEL = "gen_ai.request.reasoning.level"
REQUEST_PREVIOUS_RESPONSE_ID = "gen_ai.request.previous_response.id"
OUTPUT_TYPE = "gen_ai.output.type"
CONVERSATION_ID = "gen_ai.conversation.id"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_STATUS = "gen_ai.response.status"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_CREATION = "gen_ai.usage.cache_creation.input_tokens"
USAGE_CACHE_WRITE = "gen_ai.usage.cache_write.input_tokens"
USAGE_REASONING = "gen_ai.usage.reasoning.output_tokens"
EMBEDDINGS_DIMENSION_COUNT = "gen_ai.embeddings.dimension.count"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
AGENT_NAME = "gen_ai.agent.name"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_DESCRIPTION = "gen_ai.tool.description"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_CALL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_CALL_RESULT = "gen_ai.tool.call.result"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - a name, not a secret
TOKEN_MODALITY = "gen_ai.token.modality"  # noqa: S105 - a name, not a secret

# --- span attributes: general conventions ---------------------------------------------------------------------------
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
ERROR_TYPE = "error.type"
HTTP_STATUS = "http.response.status_code"
OPENAI_SERVICE_TIER = "openai.response.service_tier"
USER_ID = "user.id"
SESSION_ID = "session.id"
TASK_ID = "agent.task.id"
PERSONA_ID = "agent.persona.id"
TAG_ATTRIBUTES = {"task_id": TASK_ID, "persona_id": PERSONA_ID, "session_id": SESSION_ID}
"""Tags of a ledger line, and the attributes of its log event."""

# --- span attributes: MCP (docs/gen-ai/mcp.md of the convention) ----------------------------------------------------
MCP_METHOD_NAME = "mcp.method.name"
MCP_PROTOCOL_VERSION = "mcp.protocol.version"
MCP_RESOURCE_URI = "mcp.resource.uri"
PROMPT_NAME = "gen_ai.prompt.name"
JSONRPC_REQUEST_ID = "jsonrpc.request.id"
RPC_STATUS_CODE = "rpc.response.status_code"
NETWORK_TRANSPORT = "network.transport"
MCP_RUN_KEY = "agent.run"
"""Not an attribute: the key in an MCP request's `_meta` that carries run id and cycle to a server that we started."""
TOOL_ERROR = "tool_error"
"""`error.type` of a tool's result that says of itself that it is an error (`isError`)."""

# --- our own attributes ---------------------------------------------------------------------------------------------
RUN_ID = "agent.run.id"
CYCLE = "agent.cycle"
RUN_OUTCOME = "agent.run.outcome"
RUN_IMPLICIT = "agent.run.implicit"
RUN_CYCLES = "agent.run.cycles"
TASK = "agent.task"
TAGS = "agent.tags"
METADATA_PREFIX = "agent.metadata."
RETRY_COUNT = "agent.retry.count"
STREAM_END = "agent.stream.end"
STREAM_CHUNKS = "agent.stream.chunks"
TOOL_CALL_COUNT = "agent.tool_calls.count"
TOOL_CALL_NAMES = "agent.tool_calls.names"
TOOL_CALL_IDS = "agent.tool_calls.ids"
REDACTION_FAULT = "agent.redaction.fault"
REDACTED_FIELDS = "agent.redaction.fields"
"""JSON paths of what redaction replaced in this span or log record."""
REDACTION_RULE = "agent.redaction.rule"
REDACTION_PLACE = "agent.redaction.place"
# of the run API
RUN_STOP_REASON = "agent.run.stop_reason"
STATE = "agent.state"
STATE_DWELL_MS = "agent.state.dwell_ms"
STEP_INDEX = "agent.step.index"
STEP_DESCRIPTION = "agent.step.description"
STEP_STATUS = "agent.step.status"
STEP_DURATION_MS = "agent.step.duration_ms"
STEP_RESULT = "agent.step.result_summary"
PLAN_STEP_COUNT = "agent.plan.step_count"
PLAN_SCORE = "agent.plan.reasoning_score"
PLAN_TOOLS = "agent.plan.selected_tools"
REVIEW_CONFIDENCE = "agent.review.confidence_delta"
REVIEW_COMMENTS = "agent.review.comments"
REVIEW_ISSUES = "agent.review.blocking_issues"
REVIEW_DECISION = "agent.review.decision"
OPTIMIZER_PROFILE = "agent.optimizer.profile"
OPTIMIZER_HARDWARE = "agent.optimizer.hardware_signature"
OPTIMIZER_THROUGHPUT = "agent.optimizer.tokens_per_s"
OPTIMIZER_LATENCY_MS = "agent.optimizer.latency_ms"
# tools: those that were seen by their results only, and calls that come again and again
TOOL_INFERRED = "agent.tool.inferred"
TOOL_TIME = "agent.tool.time"
LOOP_KIND = "agent.loop.kind"
LOOP_COUNT = "agent.loop.count"
EXPORTER = "agent.exporter"
REASON = "agent.reason"
SIGNAL = "agent.signal"
# cost
COST_MICROUSD = "agent.cost.microusd"
RUN_COST_MICROUSD = "agent.run.cost.microusd"
COST_SOURCE = "agent.cost.source"
COST_DATE = "agent.cost.price_date"
# labels of metrics alone
ACTION_TYPE = "agent.action.type"
SUCCESS = "agent.success"
EVENT_SOURCE = "agent.event.source"
EVENT_NAME = "agent.event.name"
EVENT_FIELD = "agent.event.field"
ENVIRONMENT = "deployment.environment.name"
CONTENT_MODE = "agent.content.mode"

# Names of the spans of the run API's blocks (contracts 5).
SPAN_CYCLE = "agent.cycle"
SPAN_STEP = "agent.step"
SPAN_REVIEW = "agent.review"
# Commands and files.
PROCESS_EXECUTABLE_NAME = "process.executable.name"
PROCESS_EXECUTABLE_PATH = "process.executable.path"
PROCESS_COMMAND_ARGS = "process.command_args"
PROCESS_EXIT_CODE = "process.exit.code"
PROCESS_PID = "process.pid"
COMMAND_SHELL = "agent.command.shell"
COMMAND_OUTCOME = "agent.command.outcome"
COMMAND_STDOUT_SIZE = "agent.command.stdout.size"
COMMAND_STDOUT_DIGEST = "agent.command.stdout.digest"
COMMAND_STDERR_SIZE = "agent.command.stderr.size"
COMMAND_STDERR_DIGEST = "agent.command.stderr.digest"
ARTIFACTS_CREATED = "agent.artifacts.created"
ARTIFACTS_MODIFIED = "agent.artifacts.modified"
ARTIFACTS_DELETED = "agent.artifacts.deleted"
ARTIFACTS_UNTRACKED = "agent.artifacts.untracked"

RunOutcome = Literal["ok", "error", "cancelled", "cycle_limit", "budget"]
StreamEnd = Literal["closed", "abandoned", "never_iterated"]
CommandOutcome = Literal["exited", "killed", "not_started", "unknown"]
ArtifactChange = Literal["created", "modified", "deleted"]

COMMAND_TOOL = "command"
"""`gen_ai.tool.name` and `gen_ai.tool.type` of a command: a word of ours, so that it may be a label."""

# --- events ---------------------------------------------------------------------------------------------------------
EVENT_INFERENCE_DETAILS = "gen_ai.client.inference.operation.details"
EVENT_ATTEMPT = "agent.attempt"
EVENT_RESOURCE = "resource"
EVENT_SPAN_ENDED = "span.ended"
EVENT_METRICS = "metrics.snapshot"
EVENT_PIPELINE = "agent.pipeline_closed"
# The words of the ledger's document (requirements, L2); the rest of them are in envelope/categories.py.
TASK_EVENTS = "task_"
EVENT_ALERT = "alert_triggered"
EVENT_SNAPSHOT = "performance_metric"
EVENT_PLAIN = "ledger_record"
EVENT_TASKS = tuple(f"{TASK_EVENTS}{word}" for word in ("started", "completed", "failed", "cancelled"))
EVENT_SESSION_START = "session_start"
EVENT_SESSION_END = "session_end"
# of the run API: the core events of the envelope (E2), and states
EVENT_PLAN_GENERATED = "plan.generated"
EVENT_STEP_STARTED = "plan.step_started"
EVENT_STEP_COMPLETED = "plan.step_completed"
EVENT_REVIEW_FEEDBACK = "review.feedback_generated"
EVENT_REVIEW_DECISION = "review.decision"
EVENT_PROFILE_SELECTED = "optimizer.profile_selected"
EVENT_BENCHMARK_COMPLETED = "optimizer.benchmark_completed"
EVENT_STATE_ENTERED = "agent.state.entered"
EVENT_STATE_EXITED = "agent.state.exited"
# Commands and files.
EVENT_COMMAND_STARTED = "executor.command_started"
EVENT_COMMAND_COMPLETED = "executor.command_completed"
EVENT_EXECUTOR_ERROR = "executor.error"
EVENT_ARTIFACTS: dict[ArtifactChange, str] = {
    "created": "artifact.created",
    "modified": "artifact.modified",
    "deleted": "artifact.deleted",
}
EVENT_LOOP = "agent.loop.suspected"

# --- metric names: what no flavour changes --------------------------------------------------------------------------
INVOKE_AGENT_DURATION = "gen_ai.invoke_agent.duration"
EXECUTE_TOOL_DURATION = "gen_ai.execute_tool.duration"
TELEMETRY_DROPPED = "agent.telemetry.dropped"
REDACTIONS = "agent.redactions"
# of the run API
CYCLES = "agent.cycles"
CYCLE_DURATION = "agent.cycle.duration"
STEP_DURATION = "agent.step.duration"
STATE_ENTRIES = "agent.state.entries"
STATE_DWELL = "agent.state.dwell"
TOOL_CALLS = "agent.tool.calls"
TOOL_CALLS_EXPIRED = "agent.tool.calls.expired"
MCP_CLIENT_DURATION = "mcp.client.operation.duration"
MCP_SERVER_DURATION = "mcp.server.operation.duration"
RUNS = "agent.runs"
RUNS_ACTIVE = "agent.runs.active"
CYCLES_OF_RUN = "agent.run.cycles"
ACTIONS = "agent.actions"
LATENCY = "agent.latency"
LOOPS = "agent.loops"
EVENTS = "agent.events"
EVENT_VALUE = "agent.event.value"
COST_USD = "agent.cost.usd"
COST_UNPRICED = "agent.cost.unpriced"
CONTENT_CAPTURE = "agent.content.capture"
TELEMETRY_EMITTED = "agent.telemetry.emitted"
TELEMETRY_EXPORTED = "agent.telemetry.exported"
TELEMETRY_QUEUED = "agent.telemetry.queued"
FAULTS = "agent.faults"
PROCESS_MEMORY = "process.memory.usage"
# what an agent says of itself (`metrics/own.py`)
EFFICIENCY = "agent.efficiency"
ENTROPY = "agent.entropy"
GAPS = "agent.gaps"
MISFITS = "agent.misfits"
PATCHES_APPLIED = "agent.patches.applied"

# Histogram edges of the convention, in seconds, tokens and (agent runs) seconds up to an hour.
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
MCP_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
RUN_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6, 900, 1800, 3600)

RUN_CYCLES_EDGES = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233)

FlavourName = Literal["1.41", "latest"]


class Flavour(NamedTuple):
    """The names that differ between the two lines of the convention."""

    name: FlavourName
    cache_write: str
    duration: str
    time_to_first_chunk: str
    token_usage: str | None
    """One histogram by token type (1.41), or None where the counters and histograms below replace it."""
    usage_counters: tuple[tuple[str, str], ...] = ()
    """(Usage field, counter name) pairs of the latest line; subsets (cache, reasoning) count beside their whole."""
    usage_histograms: tuple[tuple[str, str], ...] = ()


FLAVOURS: dict[FlavourName, Flavour] = {
    "1.41": Flavour(
        name="1.41",
        cache_write=USAGE_CACHE_CREATION,
        duration="gen_ai.client.operation.duration",
        time_to_first_chunk="gen_ai.client.operation.time_to_first_chunk",
        token_usage="gen_ai.client.token.usage",  # noqa: S106 - a name, not a secret
    ),
    "latest": Flavour(
        name="latest",
        cache_write=USAGE_CACHE_WRITE,
        duration="gen_ai.client.inference.duration",
        time_to_first_chunk="gen_ai.client.inference.time_to_first_chunk",
        token_usage=None,
        usage_counters=(
            ("input", "gen_ai.client.inference.usage.input_tokens"),
            ("output", "gen_ai.client.inference.usage.output_tokens"),
            ("cache_read", "gen_ai.client.inference.usage.cache_read.input_tokens"),
            ("cache_write", "gen_ai.client.inference.usage.cache_write.input_tokens"),
            ("reasoning", "gen_ai.client.inference.usage.reasoning.output_tokens"),
        ),
        usage_histograms=(
            ("input", "gen_ai.client.inference.operation.input_tokens"),
            ("output", "gen_ai.client.inference.operation.output_tokens"),
        ),
    ),
}


def flavours(setting: str) -> tuple[Flavour, ...]:
    """The flavours to emit for a value of ``OTEL_AGENT_SEMCONV``: one, or both for ``dual``."""
    if setting == "dual":
        return (FLAVOURS["1.41"], FLAVOURS["latest"])
    return (FLAVOURS["latest" if setting == "latest" else "1.41"],)


_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_call",
    "tool_calls": "tool_call",
    "function_call": "tool_call",
}


def finish_reason(word: str) -> str:
    """The convention's word for a provider's finish reason; a word that it does not know stays as sent."""
    return _FINISH_REASONS.get(word, word)
