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

from .options import CONTENT_MODES as CONTENT_MODES  # noqa: PLC0414 - shown to others
from .options import OPTIONS as OPTIONS  # noqa: PLC0414 - shown to others
from .options import Option, words

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROOT_PID = "OTEL_AGENT_ROOT_PID"
_PARENT_RUN = "OTEL_AGENT_PARENT_RUN"
Mode = Literal["literal", "hash", "drop"]
"""What stands for a secret: ``REDACTED``, ``REDACTED:<rule>:<keyed hash>``, nothing."""

_SECTIONS = frozenset({"agent", "redaction", "prices", "routes", "monitoring", "telemetry", "meta_layer"})
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
_NO_PRICES: dict[str, Any] = {}
_NO_ROUTES: list[Any] = []


class Settings(NamedTuple):
    """Every setting, resolved. ``None`` means that nobody chose: the default depends on the rest (contracts 3)."""

    sdk_disabled: bool = False
    disabled: tuple[str, ...] = ()
    semconv: Literal["1.41", "latest", "dual"] = "1.41"
    content: Literal["NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"] = "NO_CONTENT"
    completion_hook: str | None = None
    content_limit: int = 65_536
    agent_name: str | None = None
    implicit_run: bool = True
    run_idle: float = 60.0
    commands: Literal["active", "explicit", "off"] = "active"
    files: Literal["active", "explicit", "off"] = "active"
    loop_calls: int = 5
    cost: Literal["auto", "table", "off"] = "auto"
    price_file: str | None = None
    prices: dict[str, Any] = _NO_PRICES
    """The section ``[prices]`` as it stands in the file; :mod:`.metrics.prices` reads it."""
    monitor: bool = False
    monitor_export: str | None = None
    monitor_memory_interval: float = 10.0
    monitor_memory_bytes: int | None = None
    monitor_tool_seconds: float | None = None
    monitor_model_seconds: float | None = None
    monitor_spike: float = 10.0
    monitor_error_rate: float = 0.5
    metrics_token: str | None = None
    metrics_token_file: str | None = None
    metrics_basic: str | None = None
    metrics_anonymous: bool = False
    metrics_cert: str | None = None
    metrics_key: str | None = None
    ledger: bool | None = None
    ledger_dir: str = "logs/telemetry"
    ledger_path: str | None = None
    ledger_tcp: tuple[str, int] | None = None
    ledger_durability: Literal["buffer", "write", "fsync", "block"] = "buffer"
    ledger_async: bool = True
    ledger_buffer_events: int | None = None
    ledger_flush_interval: float = 0.2
    ledger_rotate_bytes: int | None = None
    ledger_rotate_seconds: float | None = None
    ledger_compress: bool = False
    ledger_keep_files: int | None = None
    ledger_keep_days: float | None = None
    ledger_keep_bytes: int | None = None
    ledger_chain: bool = False
    stream_token: str | None = None
    routes: list[Any] = _NO_ROUTES
    """The tables `[[routes]]` as they stand in the file; :mod:`.ledger.routing` reads them."""
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
    prometheus_host: str = "localhost"
    prometheus_port: int = 9464
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

    def waits(self) -> bool:
        """Whether who emits an event waits until it is written."""
        return self.ledger_durability in {"write", "fsync"} or not self.ledger_async

    def lines_leave(self) -> bool:
        """Whether the ledger's lines leave on other ways than its files."""
        return self.ledger_tcp is not None or bool(self.routes)

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
        document = toml(path)
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
    if "prices" in document:
        values["prices"] = document["prices"]
    if "routes" in document:
        values["routes"] = document["routes"]
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
    if isinstance(value, list) and option.parse is words:
        return ",".join(map(str, cast("list[object]", value)))
    return str(value) if isinstance(value, (str, int, float)) else None


def toml(path: Path) -> dict[str, Any]:
    """What a TOML file says. Raises OSError, ValueError."""
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
        words(environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "")),
    )


def is_root() -> bool:
    """Whether this is the process that the person started, and not a Python process that the agent started."""
    return os.environ.setdefault(_ROOT_PID, str(os.getpid())) == str(os.getpid())


def parent_run() -> tuple[str, str] | None:
    """What the run that started this process told it (see :mod:`.core.handover`), and the W3C `traceparent`."""
    text = os.environ.get(_PARENT_RUN)
    return (text, os.environ.get("TRACEPARENT", "")) if text else None


def child_environment(text: str, traceparent: str) -> dict[str, str] | dict[bytes, bytes]:
    """A child's environment: this process's, and the run that it belongs to. A new one: ours is shared by all runs."""
    told = {_PARENT_RUN: text, **({"TRACEPARENT": traceparent} if traceparent else {})}
    own: Any = getattr(os.environ, "_data", None)
    if os.name == "posix" and type(own) is dict:
        # As it is kept, in bytes: to decode each variable, and encode it again, costs more than all else of a command.
        return {**own, **{os.fsencode(name): os.fsencode(value) for name, value in told.items()}}
    return {**os.environ, **told}


_OURS = frozenset({_PARENT_RUN.encode(), b"TRACEPARENT"})
_inherited: tuple[dict[bytes, bytes], list[bytes]] = ({}, [])


def child_variables(text: str, traceparent: str) -> list[bytes]:
    """The same as POSIX has it, `name=value`: those of this process are put together again when one has changed."""
    global _inherited  # noqa: PLW0603 - replaced whole
    kept: Any = getattr(os.environ, "_data", None)
    own: dict[bytes, bytes] = kept
    if type(kept) is not dict:  # somebody's own `os.environ`, of texts
        own = {os.fsencode(name): os.fsencode(value) for name, value in os.environ.items()}
    seen, variables = _inherited
    if own != seen:
        seen = own.copy()
        variables = [name + b"=" + value for name, value in seen.items() if name not in _OURS]
        _inherited = seen, variables
    told = [*variables, f"{_PARENT_RUN}={text}".encode()]
    if traceparent:
        told.append(f"TRACEPARENT={traceparent}".encode())
    elif b"TRACEPARENT" in own:
        told.append(b"TRACEPARENT=" + own[b"TRACEPARENT"])
    return told


def plain_output() -> bool:
    """Whether the person wants output without colours: `NO_COLOR` (no-color.org), or a terminal that has none."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def defaults() -> dict[str, Any]:
    """The default of every option, for the documentation."""
    return {name: default for name, default in Settings._field_defaults.items() if name in _BY_NAME}
