# SPDX-License-Identifier: Apache-2.0
"""The table of options: name, environment variables, parser and documentation. Values are read in :mod:`.config`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
# Beyond these, waiting for so long is an error of the interpreter's (`threading.TIMEOUT_MAX` is 292 years).
_LONGEST = 1e9
_MOST = 10**12
CONTENT_MODES = ("NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT")


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    msg = "expected true or false"
    raise ValueError(msg)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= _LONGEST:
        msg = "expected a number of seconds above 0"
        raise ValueError(msg)
    return number


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= _MOST:
        msg = "expected a whole number of at least 1"
        raise ValueError(msg)
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1:
        msg = "expected a share above 0 and up to 1"
        raise ValueError(msg)
    return number


def _factor(text: str) -> float:
    number = float(text)
    if not 1 < number <= _LONGEST:
        msg = "expected a number above 1"
        raise ValueError(msg)
    return number


def words(text: str) -> tuple[str, ...]:
    """The words of a list with commas."""
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.strip().rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        msg = "expected host:port"
        raise ValueError(msg)
    return host.strip("[]"), int(port)


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        for word in choices:
            if word.lower() == text.strip().lower():
                return word
        msg = f"expected one of {', '.join(choices)}"
        raise ValueError(msg)

    return parse


def _content(text: str) -> str:
    # `true` is the legacy spelling of the contrib packages; it meant what SPAN_AND_EVENT means now.
    if text.strip().lower() in _TRUE:
        return "SPAN_AND_EVENT"
    return "NO_CONTENT" if text.strip().lower() in _FALSE else _one_of(*CONTENT_MODES)(text)


class Option(NamedTuple):
    """One setting: its field in :class:`Settings`, its variables (the first wins), its parser and its documentation."""

    name: str
    env: tuple[str, ...]
    parse: Callable[[str], Any]
    doc: str


OPTIONS: tuple[Option, ...] = (
    Option("sdk_disabled", ("OTEL_SDK_DISABLED",), _boolean, "Nothing at all: no patch, thread or file."),
    Option("disabled", ("OTEL_AGENT_DISABLED",), words, "Integrations to leave alone, e.g. `openai,anthropic`."),
    Option("semconv", ("OTEL_AGENT_SEMCONV",), _one_of("1.41", "latest", "dual"), "Names of the GenAI convention."),
    Option(
        "content",
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",),
        _content,
        "Messages, system instructions and tool definitions: NO_CONTENT, SPAN_ONLY, EVENT_ONLY, SPAN_AND_EVENT.",
    ),
    Option(
        "completion_hook",
        ("OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK",),
        str,
        "A hook that is given each completion's content, redacted: an entry point of "
        "`opentelemetry_genai_completion_hook`, e.g. `upload`. Needs `opentelemetry-util-genai`; see docs/safety.md.",
    ),
    Option("content_limit", ("OTEL_AGENT_CONTENT_LIMIT",), _count, "Most bytes of one content attribute."),
    Option("agent_name", ("OTEL_AGENT_NAME",), str, "Name of the agent where the code gives none."),
    Option("implicit_run", ("OTEL_AGENT_IMPLICIT_RUN",), _boolean, "One tree for an agent that opens no run itself."),
    Option("run_idle", ("OTEL_AGENT_RUN_IDLE",), _positive, "Seconds without a call after which such a run ends."),
    Option(
        "commands",
        ("OTEL_AGENT_COMMANDS",),
        _one_of("active", "explicit", "off"),
        "Commands that are recorded: of every active run, of those under `run()` only, or none.",
    ),
    Option(
        "files",
        ("OTEL_AGENT_FILES",),
        _one_of("active", "explicit", "off"),
        "The same for files that a run creates, modifies or deletes.",
    ),
    Option(
        "loop_calls",
        ("OTEL_AGENT_LOOP_CALLS",),
        _count,
        "So many times the same call with the same arguments in a run is told as `agent.loop.suspected`.",
    ),
    Option(
        "cost",
        ("OTEL_AGENT_COST",),
        _one_of("auto", "table", "off"),
        "Prices of calls: your table and then `genai-prices`, if that is installed; the table alone; none.",
    ),
    Option(
        "price_file", ("OTEL_AGENT_PRICES",), str, "TOML file of prices, like the section `[prices]`; it wins over it."
    ),
    Option(
        "monitor",
        ("OTEL_AGENT_MONITOR",),
        _boolean,
        "The performance monitor from the start, without code (docs/performance-monitor.md).",
    ),
    Option("monitor_export", ("OTEL_AGENT_MONITOR_EXPORT",), str, "JSON file that it writes at the exit."),
    Option(
        "monitor_memory_interval",
        ("OTEL_AGENT_MONITOR_MEMORY_INTERVAL",),
        _positive,
        "Seconds between two looks at the memory.",
    ),
    Option("monitor_memory_bytes", ("OTEL_AGENT_MONITOR_MEMORY_BYTES",), _count, "More memory than this is an alert."),
    Option("monitor_tool_seconds", ("OTEL_AGENT_MONITOR_TOOL_SECONDS",), _positive, "A tool that takes longer is one."),
    Option(
        "monitor_model_seconds", ("OTEL_AGENT_MONITOR_MODEL_SECONDS",), _positive, "A model call that takes longer is."
    ),
    Option(
        "monitor_spike",
        ("OTEL_AGENT_MONITOR_SPIKE",),
        _factor,
        "A call of over a second that takes so many times the mean of at least 20 before it is an alert.",
    ),
    Option(
        "monitor_error_rate",
        ("OTEL_AGENT_MONITOR_ERROR_RATE",),
        _share,
        "A tool of whose last 50 calls surely more fail is an alert, and had better be disabled.",
    ),
    Option("metrics_token", ("OTEL_AGENT_METRICS_TOKEN",), str, "What a scrape of `/metrics` must say: `Bearer ...`."),
    Option("metrics_token_file", ("OTEL_AGENT_METRICS_TOKEN_FILE",), str, "A file with that token."),
    Option("metrics_basic", ("OTEL_AGENT_METRICS_BASIC",), str, "`user:password` instead of a token, or beside it."),
    Option("metrics_anonymous", ("OTEL_AGENT_METRICS_ANONYMOUS",), _boolean, "Let everybody read `/metrics`."),
    Option("metrics_cert", ("OTEL_AGENT_METRICS_CERT",), str, "Certificate file: `/metrics` is served by TLS."),
    Option("metrics_key", ("OTEL_AGENT_METRICS_KEY",), str, "Its key's file, where that is another one."),
    Option("ledger", ("OTEL_AGENT_LEDGER",), _boolean, "The ledger file, whatever exporters are chosen."),
    Option("ledger_dir", ("OTEL_AGENT_LEDGER_DIR",), str, "Folder of the ledger files."),
    Option("ledger_path", ("OTEL_AGENT_LEDGER_PATH", "AGI_LEDGER_PATH"), str, "One shared ledger file instead."),
    Option(
        "ledger_tcp",
        ("OTEL_AGENT_LEDGER_TCP",),
        _address,
        "`host:port` of a receiver of the ledger's lines, beside or instead of the file.",
    ),
    Option(
        "ledger_durability",
        ("OTEL_AGENT_LEDGER_DURABILITY",),
        _one_of("buffer", "write", "fsync", "block"),
        "`buffer`: an event is written within the flush interval; `write`: `emit_event` waits for it (at most 1 s); "
        "`fsync`: and for the disk; `block`: who finds the buffer full waits: nothing is dropped for want of room.",
    ),
    Option(
        "ledger_async", ("OTEL_AGENT_LEDGER_ASYNC", "AGI_EVENT_ASYNC"), _boolean, "`false` is the durability `write`."
    ),
    Option(
        "ledger_buffer_events",
        ("OTEL_AGENT_LEDGER_BUFFER_EVENTS", "AGI_EVENT_BUFFER_SIZE"),
        _count,
        "Most events that wait for the ledger's writer, beside the bound in bytes. Who finds so many waits for it, "
        "at most 50 ms.",
    ),
    Option(
        "ledger_flush_interval",
        ("OTEL_AGENT_LEDGER_FLUSH_INTERVAL", "AGI_EVENT_FLUSH_INTERVAL"),
        _positive,
        "How long the ledger's writer gathers events before it writes.",
    ),
    Option(
        "ledger_rotate_bytes",
        ("OTEL_AGENT_LEDGER_ROTATE_BYTES",),
        _count,
        "A ledger file of this size is put aside as `<name>.<n>.jsonl`.",
    ),
    Option("ledger_rotate_seconds", ("OTEL_AGENT_LEDGER_ROTATE_SECONDS",), _positive, "The same by its age."),
    Option("ledger_compress", ("OTEL_AGENT_LEDGER_COMPRESS",), _boolean, "What was put aside is compressed (gzip)."),
    Option(
        "ledger_keep_files",
        ("OTEL_AGENT_LEDGER_KEEP_FILES",),
        _count,
        "So many ledger files stay in the folder; the oldest is removed. Never one written to in the last minute.",
    ),
    Option("ledger_keep_days", ("OTEL_AGENT_LEDGER_KEEP_DAYS",), _positive, "The same by their age in days."),
    Option("ledger_keep_bytes", ("OTEL_AGENT_LEDGER_KEEP_BYTES",), _count, "The same by what they take together."),
    Option(
        "ledger_chain",
        ("OTEL_AGENT_LEDGER_CHAIN",),
        _boolean,
        "Each line carries a digest over itself and the digest before it: see `otel-agent verify`.",
    ),
    Option("stream_token", ("OTEL_AGENT_STREAM_TOKEN",), str, "Token of `otel-agent serve`; else it makes one."),
    Option("exit_timeout", ("OTEL_AGENT_EXIT_TIMEOUT",), _positive, "Seconds that a flush may add to the exit."),
    Option("queue_bytes", ("OTEL_AGENT_QUEUE_BYTES",), _count, "Most bytes that wait for one exporter."),
    Option("sigterm", ("OTEL_AGENT_SIGTERM",), _boolean, "Flush on SIGTERM where the agent has no handler."),
    Option("summary", ("OTEL_AGENT_SUMMARY",), _boolean, "The line on stderr at exit."),
    Option("guard_all", ("OTEL_AGENT_GUARD_ALL",), _boolean, "Redact in providers that other SDKs create, too."),
    Option(
        "redaction_off",
        ("OTEL_AGENT_REDACTION_OFF",),
        words,
        "Redaction rules, or kinds of them, to switch off: `pii`, `email`, `phone`, ... (`otel-agent redact --rules`).",
    ),
    Option(
        "redaction_on",
        ("OTEL_AGENT_REDACTION_ON",),
        words,
        "Rules to switch on that are off: `ipv4`, `mac`, `phone-us`, `phone-uk`, `phone-fr`, `phone-de`.",
    ),
    Option(
        "redaction_mode",
        ("OTEL_AGENT_REDACTION_MODE",),
        _one_of("literal", "hash", "drop"),
        "What stands for a secret: `REDACTED`, a keyed hash by which equal ones are joinable, or nothing.",
    ),
    Option("redaction_key", ("OTEL_AGENT_REDACTION_KEY",), str, "Key of those hashes, where it is not kept in a file."),
    Option(
        "redaction_key_file",
        ("OTEL_AGENT_REDACTION_KEY_FILE",),
        str,
        "File of that key, made at the first need with mode 0600.",
    ),
    Option("redaction_engine", ("OTEL_AGENT_REDACTION_ENGINE",), _one_of("auto", "re"), "`re`: without google-re2."),
    Option("service_name", ("OTEL_SERVICE_NAME",), str, "OTel's own; the agent's name where none is given."),
    Option("traces_exporter", ("OTEL_TRACES_EXPORTER",), words, "OTel's own."),
    Option("logs_exporter", ("OTEL_LOGS_EXPORTER",), words, "OTel's own."),
    Option("metrics_exporter", ("OTEL_METRICS_EXPORTER",), words, "OTel's own."),
    Option("endpoint", ("OTEL_EXPORTER_OTLP_ENDPOINT",), str, "OTel's own."),
    Option("traces_endpoint", ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",), str, "OTel's own."),
    Option("logs_endpoint", ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",), str, "OTel's own."),
    Option("metrics_endpoint", ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",), str, "OTel's own."),
    Option("protocol", ("OTEL_EXPORTER_OTLP_PROTOCOL",), str, "OTel's own."),
    Option("traces_protocol", ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",), str, "OTel's own."),
    Option("logs_protocol", ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",), str, "OTel's own."),
    Option("metrics_protocol", ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",), str, "OTel's own."),
    Option("timeout", ("OTEL_EXPORTER_OTLP_TIMEOUT",), _positive, "OTel's own: seconds for one request."),
    Option("traces_timeout", ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",), _positive, "OTel's own."),
    Option("logs_timeout", ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT",), _positive, "OTel's own."),
    Option("metrics_timeout", ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",), _positive, "OTel's own."),
    Option("bsp_delay_ms", ("OTEL_BSP_SCHEDULE_DELAY",), _count, "OTel's own."),
    Option("bsp_queue", ("OTEL_BSP_MAX_QUEUE_SIZE",), _count, "OTel's own."),
    Option("bsp_batch", ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE",), _count, "OTel's own."),
    Option("blrp_delay_ms", ("OTEL_BLRP_SCHEDULE_DELAY",), _count, "OTel's own."),
    Option("blrp_queue", ("OTEL_BLRP_MAX_QUEUE_SIZE",), _count, "OTel's own."),
    Option("blrp_batch", ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",), _count, "OTel's own."),
    Option("prometheus_host", ("OTEL_EXPORTER_PROMETHEUS_HOST",), str, "OTel's own; for `agent_prometheus`."),
    Option("prometheus_port", ("OTEL_EXPORTER_PROMETHEUS_PORT",), _count, "OTel's own; for `agent_prometheus`."),
    Option("metric_interval_ms", ("OTEL_METRIC_EXPORT_INTERVAL",), _count, "OTel's own."),
    Option(
        "log_records",
        ("OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION",),
        _boolean,
        "OTel's own: records of `logging` as log records, `true` for the ledger alone, too.",
    ),
    Option(
        "log_level",
        ("OTEL_PYTHON_LOG_HANDLER_LEVEL",),
        _one_of("notset", "debug", "info", "warn", "warning", "error"),
        "OTel's own: the least severe that is taken.",
    ),
    Option("id_generator", ("OTEL_PYTHON_ID_GENERATOR",), str, "OTel's own."),
)

# Those of the monitors' document (V6) have readers of their own.
