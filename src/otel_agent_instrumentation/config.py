# SPDX-License-Identifier: Apache-2.0
"""Settings: one table of options, read once, in the order defaults, TOML file, environment, code.

This is the only module that reads the environment (with :mod:`.environment`, which the launcher's parent process
imports). An unknown key or a bad value is one warning that names it and its place; a broken file means defaults and
one warning. Nothing here raises.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_ROOT_PID = "OTEL_AGENT_ROOT_PID"
_PARENT_RUN = "OTEL_AGENT_PARENT_RUN"
# Beyond these, waiting for so long is an error of the interpreter's (`threading.TIMEOUT_MAX` is 292 years).
_LONGEST = 1e9
_MOST = 10**12
CONTENT_MODES = ("NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT")
Mode = Literal["literal", "hash", "drop"]
"""What stands for a secret: ``REDACTED``, ``REDACTED:<rule>:<keyed hash>``, nothing."""


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


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.strip().rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        msg = "expected host:port"
        raise ValueError(msg)
    return host.strip("[]"), int(port)


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        for word in words:
            if word.lower() == text.strip().lower():
                return word
        msg = f"expected one of {', '.join(words)}"
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
    Option("disabled", ("OTEL_AGENT_DISABLED",), _words, "Integrations to leave alone, e.g. `openai,anthropic`."),
    Option("semconv", ("OTEL_AGENT_SEMCONV",), _one_of("1.41", "latest", "dual"), "Names of the GenAI convention."),
    Option(
        "content",
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",),
        _content,
        "Messages, system instructions and tool definitions: NO_CONTENT, SPAN_ONLY, EVENT_ONLY, SPAN_AND_EVENT.",
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
    Option("ledger", ("OTEL_AGENT_LEDGER",), _boolean, "The ledger file, whatever exporters are chosen."),
    Option("ledger_dir", ("OTEL_AGENT_LEDGER_DIR",), str, "Folder of the ledger files."),
    Option("ledger_path", ("OTEL_AGENT_LEDGER_PATH", "AGI_LEDGER_PATH"), str, "One shared ledger file instead."),
    Option(
        "ledger_tcp",
        ("OTEL_AGENT_LEDGER_TCP",),
        _address,
        "`host:port` of a receiver of the ledger's lines, beside or instead of the file.",
    ),
    Option("exit_timeout", ("OTEL_AGENT_EXIT_TIMEOUT",), _positive, "Seconds that a flush may add to the exit."),
    Option("queue_bytes", ("OTEL_AGENT_QUEUE_BYTES",), _count, "Most bytes that wait for one exporter."),
    Option("sigterm", ("OTEL_AGENT_SIGTERM",), _boolean, "Flush on SIGTERM where the agent has no handler."),
    Option("summary", ("OTEL_AGENT_SUMMARY",), _boolean, "The line on stderr at exit."),
    Option("guard_all", ("OTEL_AGENT_GUARD_ALL",), _boolean, "Redact in providers that other SDKs create, too."),
    Option(
        "redaction_off",
        ("OTEL_AGENT_REDACTION_OFF",),
        _words,
        "Redaction rules, or kinds of them, to switch off: `pii`, `email`, `phone`, ... (`otel-agent redact --rules`).",
    ),
    Option("redaction_on", ("OTEL_AGENT_REDACTION_ON",), _words, "Rules to switch on that are off: `ipv4`, `mac`."),
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
    Option("traces_exporter", ("OTEL_TRACES_EXPORTER",), _words, "OTel's own."),
    Option("logs_exporter", ("OTEL_LOGS_EXPORTER",), _words, "OTel's own."),
    Option("metrics_exporter", ("OTEL_METRICS_EXPORTER",), _words, "OTel's own."),
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
_SECTIONS = frozenset({"agent", "redaction", "monitoring", "telemetry", "meta_layer"})
_BY_NAME = {option.name: option for option in OPTIONS}


@dataclass(frozen=True, eq=False)
class UserRule:
    """A redaction rule of the user's: a regular expression, whose first group, if any, is what goes."""

    id: str
    pattern: str
    starts: tuple[str, ...] = ()
    """Literals that every match begins with, by which it is found quickly."""


@dataclass(frozen=True, eq=False)
class Redaction:
    """The section ``[redaction]`` of the file: what no variable can say."""

    rules: tuple[UserRule, ...] = ()
    allow: tuple[str, ...] = ()
    """Regular expressions: what one of them matches as a whole is no secret."""
    keys: tuple[str, ...] = ()
    """More names of fields whose values go; ``plain_keys``: names that look like a secret's and are none."""
    plain_keys: tuple[str, ...] = ()
    modes: dict[str, Mode] = field(default_factory=dict[str, Mode])
    """Mode by rule or kind."""


_REDACTION = Redaction()


class Settings(NamedTuple):
    """Every setting, resolved. ``None`` means that nobody chose: the default depends on the rest (contracts 3)."""

    sdk_disabled: bool = False
    disabled: tuple[str, ...] = ()
    semconv: Literal["1.41", "latest", "dual"] = "1.41"
    content: Literal["NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"] = "NO_CONTENT"
    content_limit: int = 65_536
    agent_name: str | None = None
    implicit_run: bool = True
    run_idle: float = 60.0
    commands: Literal["active", "explicit", "off"] = "active"
    files: Literal["active", "explicit", "off"] = "active"
    loop_calls: int = 5
    ledger: bool | None = None
    ledger_dir: str = "logs/telemetry"
    ledger_path: str | None = None
    ledger_tcp: tuple[str, int] | None = None
    exit_timeout: float = 2.0
    queue_bytes: int = 64 * 1024 * 1024
    sigterm: bool = True
    summary: bool = True
    guard_all: bool = True
    redaction_off: tuple[str, ...] = ()
    redaction_on: tuple[str, ...] = ()
    redaction_mode: Mode = "literal"
    redaction_key: str | None = None
    redaction_key_file: str = "~/.local/state/otel-agent/redaction.key"
    redaction_engine: Literal["auto", "re"] = "auto"
    redaction: Redaction = _REDACTION
    service_name: str | None = None
    traces_exporter: tuple[str, ...] | None = None
    logs_exporter: tuple[str, ...] | None = None
    metrics_exporter: tuple[str, ...] | None = None
    endpoint: str | None = None
    traces_endpoint: str | None = None
    logs_endpoint: str | None = None
    metrics_endpoint: str | None = None
    protocol: str | None = None
    traces_protocol: str | None = None
    logs_protocol: str | None = None
    metrics_protocol: str | None = None
    timeout: float = 10.0
    traces_timeout: float | None = None
    logs_timeout: float | None = None
    metrics_timeout: float | None = None
    bsp_delay_ms: int = 1000
    bsp_queue: int | None = None
    bsp_batch: int = 512
    blrp_delay_ms: int = 1000
    blrp_queue: int | None = None
    blrp_batch: int = 512
    metric_interval_ms: int = 60_000
    log_records: bool | None = None
    log_level: str = "notset"
    id_generator: str | None = None
    warnings: tuple[str, ...] = ()
    """What was wrong with the configuration, one sentence each, for the log and for doctor."""

    def agent(self) -> str:
        """The agent's name: as configured, else the service's, else the program's."""
        if self.agent_name:
            return self.agent_name
        if self.service_name:
            return self.service_name
        program = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] else ""
        return program if program and program not in {"-c", "-m", "__main__"} else "agent"

    def for_signal(self, signal: str, what: str) -> Any:
        """A per-signal setting of OTel's (``endpoint`` or ``protocol``), else the general one."""
        return getattr(self, f"{signal}_{what}") or getattr(self, what)


def load(environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Resolve the settings: defaults, then the TOML file, then ``environ``, then ``overrides`` (from code)."""
    environ = os.environ if environ is None else environ
    warnings: list[str] = []
    values = _from_file(environ, warnings)
    for option in OPTIONS:
        for variable in option.env:
            text = environ.get(variable, "")
            if text.strip():
                _put(values, option, text, f"the environment variable {variable}", warnings)
                break
    for name, value in (overrides or {}).items():
        if name in _BY_NAME and value is not None:
            values[name] = value
    return Settings(**values, warnings=tuple(warnings))


def _put(values: dict[str, Any], option: Option, text: str | None, place: str, warnings: list[str]) -> None:
    if text is None:
        warnings.append(f"{place}: expected a single value; it is ignored")
        return
    try:
        values[option.name] = option.parse(text)
    except (ValueError, OverflowError) as error:
        reason = str(error) if str(error).startswith("expected") else "not a valid value"
        warnings.append(f"{place}: {reason}; it is ignored")


def _from_file(environ: Mapping[str, str], warnings: list[str]) -> dict[str, Any]:
    chosen = environ.get("OTEL_AGENT_CONFIG", "").strip()
    path = Path(chosen or "otel-agent.toml")
    if not chosen and not path.is_file():
        return {}
    try:
        document = _toml(path)
    except (OSError, ValueError, RecursionError) as error:
        warnings.append(f"the configuration file {path} cannot be used ({type(error).__name__}); defaults are used")
        return {}
    warnings += [
        f"{path}: unknown key `{key}`; it is ignored (settings stand below `[agent]`)"
        for key in document
        if key not in _SECTIONS
    ]
    values: dict[str, Any] = {}
    if "redaction" in document:
        _put_redaction(values, document["redaction"], path, warnings)
    section = document.get("agent", {})
    if not isinstance(section, dict):
        warnings.append(f"{path}: `agent` must be a table; it is ignored")
        return {}
    for key, value in cast("dict[str, Any]", section).items():
        option = _BY_NAME.get(key)
        if option is None:
            warnings.append(f"{path}: unknown key `agent.{key}`; it is ignored (known: `otel-agent doctor --options`)")
            continue
        _put(values, option, _text(option, value), f"{path}: key `agent.{key}`", warnings)
    return values


def _put_redaction(values: dict[str, Any], section: object, path: Path, warnings: list[str]) -> None:
    import msgspec

    if isinstance(section, dict):
        known = set(Redaction.__annotations__)
        warnings += [
            f"{path}: unknown key `redaction.{key}`; it is ignored"
            for key in cast("dict[str, Any]", section)
            if key not in known
        ]
    try:
        values["redaction"] = msgspec.convert(section, Redaction)
    except msgspec.ValidationError as error:
        warnings.append(f"{path}: section `redaction` is ignored: {error}")


def _text(option: Option, value: object) -> str | None:
    """A value of the file as an environment variable would say it; None where no variable could."""
    if isinstance(value, list) and option.parse is _words:
        return ",".join(map(str, cast("list[object]", value)))
    return str(value) if isinstance(value, (str, int, float)) else None


def _toml(path: Path) -> dict[str, Any]:
    # Imported here: most processes have no configuration file, and tomllib costs 20 ms.
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    with path.open("rb") as file:
        return tomllib.load(file)


class Launcher(NamedTuple):
    """What `opentelemetry-instrument` was told to load. ``None``: nobody said."""

    distro: str | None
    configurator: str | None
    disabled: tuple[str, ...]
    """Entry points of instrumentors to leave out."""


def launcher(environ: Mapping[str, str] | None = None) -> Launcher:
    """The launcher's own variables, for doctor."""
    environ = os.environ if environ is None else environ
    return Launcher(
        environ.get("OTEL_PYTHON_DISTRO"),
        environ.get("OTEL_PYTHON_CONFIGURATOR"),
        _words(environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "")),
    )


def is_root() -> bool:
    """Whether this is the process that the person started, and not a Python process that the agent started."""
    return os.environ.setdefault(_ROOT_PID, str(os.getpid())) == str(os.getpid())


def parent_run() -> tuple[str, str] | None:
    """What the run that started this process told it (see :mod:`.core.handover`), and the W3C `traceparent`."""
    text = os.environ.get(_PARENT_RUN)
    return (text, os.environ.get("TRACEPARENT", "")) if text else None


def child_environment(text: str, traceparent: str) -> dict[str, str]:
    """A child's environment: this process's, and the run that it belongs to. A new one: ours is shared by all runs."""
    return {**os.environ, _PARENT_RUN: text, **({"TRACEPARENT": traceparent} if traceparent else {})}


def plain_output() -> bool:
    """Whether the person wants output without colours: `NO_COLOR` (no-color.org), or a terminal that has none."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def defaults() -> dict[str, Any]:
    """The default of every option, for the documentation."""
    return {name: default for name, default in Settings._field_defaults.items() if name in _BY_NAME}
