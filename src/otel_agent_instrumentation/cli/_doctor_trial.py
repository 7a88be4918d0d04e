# SPDX-License-Identifier: Apache-2.0
"""Doctor instruments its own process: into memory and a folder of its own, never to the user's exporters or ledger."""

from __future__ import annotations

import importlib
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from .. import integrations
from ..bootstrap import install
from ..bootstrap.stamp import StampingGuard
from ..core import contain, patching
from ..core.records import EventRecord
from ..ledger.sink import take
from ..ledger.writer import Writer
from ..metrics.views import views
from ..redaction import install as guarding
from ..redaction import selfcheck
from ..redaction.policy import default_policy
from ..redaction.processors import LogGuard
from ._doctor_packages import DISTRIBUTION, installed
from ._doctor_report import Finding, attempt

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from ..config import Settings
    from ..core.patching import Seam, SeamState

# In two pieces, so that a scan of this file finds no key.
CANARY: Final = "sk-" + "ant-api03-doctor0123456789doctor0123456789"


@dataclass(slots=True)
class Trial:
    """What the trial's process sends, by signal."""

    ledger: Path
    spans: InMemorySpanExporter
    metrics: InMemoryMetricReader
    logs: InMemoryLogRecordExporter
    providers: dict[str, Any] = field(default_factory=dict[str, Any])
    imports: dict[str, str | None] = field(default_factory=dict[str, "str | None"])
    """Client to what its import raised, or None."""
    states: list[tuple[str, Seam, SeamState]] = field(default_factory=list[Any])


def already_instrumented() -> bool:
    """Whether somebody (the launcher, a `sitecustomize`) has set this process up, with exporters of the user's."""
    return install.state.active or not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@contextmanager
def trial(settings: Settings) -> Generator[Trial]:
    """Instrument this process and import every installed client that is not switched off; undo it at the end."""
    with tempfile.TemporaryDirectory(prefix="otel-agent-doctor-") as folder:
        run = _build(Path(folder) / "self-test.jsonl")
        was_active = install.state.active
        if not was_active:
            install.instrument(
                tracer_provider=run.providers["spans"],
                meter_provider=run.providers["metrics"],
                logger_provider=run.providers["logs"],
                overrides={"ledger": True, "ledger_path": str(run.ledger), "summary": False, "sigterm": False},
            )
        try:
            for name in integrations.BUILTIN:
                if name not in settings.disabled and installed(name):
                    run.imports[name] = _import(name)
            run.states = patching.states()
            yield run
        finally:
            if not was_active:
                install.uninstrument()
            for provider in run.providers.values():
                provider.shutdown()


def _build(ledger: Path) -> Trial:
    spans, metrics, logs = InMemorySpanExporter(), InMemoryMetricReader(), InMemoryLogRecordExporter()
    # As bootstrap/providers.py builds them, but for the exporters.
    tracer = TracerProvider(active_span_processor=StampingGuard(), shutdown_on_exit=False, sampler=ALWAYS_ON)
    tracer.add_span_processor(SimpleSpanProcessor(spans))
    logger = LoggerProvider(multi_log_record_processor=LogGuard(), shutdown_on_exit=False)
    logger.add_log_record_processor(SimpleLogRecordProcessor(logs))
    meter = MeterProvider([metrics], views=views(), shutdown_on_exit=False)
    guarding.install(meter)
    return Trial(ledger, spans, metrics, logs, {"spans": tracer, "logs": logger, "metrics": meter})


def _import(client: str) -> str | None:
    """Import a client and the modules that our seams are in; what its import raised, in a word."""
    error = attempt(f"import.{client}", lambda: importlib.import_module(integrations.BUILTIN[client]))
    if error is None:
        integration = integrations.load(client)
        for module in dict.fromkeys(seam.module for seam in integration.seams) if integration is not None else ():
            # A module that this version does not have leaves its seam waiting, which `seams` judges.
            attempt(f"import.{module}", lambda module=module: importlib.import_module(module))
    return error


def seams(run: Trial, settings: Settings) -> Iterator[Finding]:
    """The state of every patch, client by client."""
    others = dict.fromkeys(who for who, _, _ in run.states if who not in integrations.BUILTIN)
    for name in (*integrations.BUILTIN, *others):
        own: list[tuple[Seam, SeamState]] = [(seam, state) for who, seam, state in run.states if who == name]
        if name in settings.disabled:
            yield Finding("note", f"{name}: switched off by OTEL_AGENT_DISABLED")
        elif name in integrations.BUILTIN and name not in run.imports:
            yield Finding("note", f"{name}: not installed")
        elif run.imports.get(name):
            yield Finding(
                "problem",
                f"{name} cannot be imported: {run.imports[name]}",
                f"`pip install --force-reinstall {name}`, and see `python -c 'import {name}'`.",
            )
        elif not own:
            yield Finding("problem", f"{name}: nothing was patched", f"`pip install --force-reinstall {DISTRIBUTION}`.")
        else:
            yield from _client_seams(name, own)


def _client_seams(name: str, own: Sequence[tuple[Seam, SeamState]]) -> Iterator[Finding]:
    patched = sum(state == "patched" for _, state in own)
    absent = [f"{s.module}.{s.attribute}" for s, state in own if state != "patched" and s.optional]
    yield Finding("ok" if patched else "problem", f"{name}: {patched} of {len(own)} places patched")
    if absent and name in integrations.BUILTIN:
        yield Finding("note", f"{name}: not in the installed version, nor needed there: {', '.join(absent)}")
    for seam, state in own:
        if state == "waiting" and name not in integrations.BUILTIN:
            continue  # a module of the standard library that nothing here imports
        if state != "patched" and not seam.optional:
            why = "is missing" if state == "missing" else "was not imported"
            yield Finding(
                "problem",
                f"{name}: {seam.module}.{seam.attribute} {why} in the installed version: not recorded: {seam.role}",
                f"`pip install -U {DISTRIBUTION}`, or install a tested version of {name} (above).",
            )


def guard(run: Trial, settings: Settings) -> Iterator[Finding]:
    """Whether everything that leaves is redacted: at each kind of provider, and in the ledger."""
    mend = (
        f"`pip install -U {DISTRIBUTION}`, or a supported opentelemetry-sdk (above); content capture is off till then."
    )
    ways = {f"{what} of our own provider": provider for what, provider in run.providers.items()}
    if settings.guard_all:
        foreign = TracerProvider(shutdown_on_exit=False)
        ways["spans of a provider that another library makes"] = foreign
    for what, provider in ways.items():
        if selfcheck.self_check(provider):
            yield Finding("ok", f"{what}: redacted")
        else:
            yield Finding("problem", f"{what}: NOT redacted", mend)
    if not settings.guard_all:
        yield Finding(
            "warning",
            "providers that other libraries make are not redacted: OTEL_AGENT_GUARD_ALL is off",
            "unset OTEL_AGENT_GUARD_ALL, unless this is meant.",
        )
    clean = contain.call("doctor.ledger_guard", _ledger_is_redacted, run.ledger.with_name("guard.jsonl"))
    yield (
        Finding("ok", "lines of the ledger: redacted")
        if clean
        else Finding("problem", "lines of the ledger: NOT redacted", mend)
    )
    if default_policy().engine() == "re" and settings.redaction_engine == "auto":
        yield Finding(
            "note",
            "google-re2 is not installed: redaction finds the same, at a multiple of the cost",
            "`pip install 'otel-agent-instrumentation[fast]'`.",
        )
    yield Finding("ok", _CONTENT[settings.content])
    if settings.completion_hook is not None:
        yield Finding("ok", f"content is handed to the completion hook {settings.completion_hook!r}, redacted")


_CONTENT: Final = {
    "NO_CONTENT": "content (messages, instructions, tool definitions): not captured",
    "SPAN_ONLY": "content (messages, instructions, tool definitions): captured on spans, redacted",
    "EVENT_ONLY": "content (messages, instructions, tool definitions): captured in events, redacted",
    "SPAN_AND_EVENT": "content (messages, instructions, tool definitions): captured on spans and in events, redacted",
}


def _ledger_is_redacted(path: Path) -> bool:
    writer = Writer(str(path.parent), str(path), {}, "doctor")
    payload = {"password": "of-the-doctor", "text": f"a {CANARY} b"}
    take(writer, default_policy(), EventRecord("doctor.canary", time.time_ns(), payload))
    writer.close()
    text = path.read_text()
    return "doctor.canary" in text and CANARY not in text and payload["password"] not in text
