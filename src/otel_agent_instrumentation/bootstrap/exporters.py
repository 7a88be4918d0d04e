# SPDX-License-Identifier: Apache-2.0
"""Exporters by their entry-point names. One that cannot be had is one warning; the others are used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.util._importlib_metadata import entry_points  # pyright: ignore[reportUnknownVariableType]

from ..core.contain import Contained, warn_once
from ..ledger.exporter import EnvelopeLogExporter, EnvelopeSpanExporter
from ..pipeline.processors import AgentLogProcessor, AgentSpanProcessor
from ..pipeline.queue import Limits

if TYPE_CHECKING:
    from ..config import Settings
    from .choices import Choice, Signal

_LOAD = Contained("exporters.load")
_OTLP = {"otlp": None, "otlp_proto_http": "http/protobuf", "otlp_proto_grpc": "grpc"}
_FIELD = {"traces": "spans", "logs": "logs", "metrics": "metrics"}


def load(settings: Settings, signal: Signal, choice: Choice) -> list[Any]:
    """The exporters of ``signal``, made. For metrics a name may also give a reader."""
    found: list[Any] = []
    for name in choice.exporters:
        exporter = None
        if name in _OTLP:
            exporter = _otlp(settings, signal, _OTLP[name] or choice.protocol)
        else:
            with _LOAD:
                exporter = _by_entry_point(signal, name)
        if exporter is not None:
            found.append(exporter)
    return found


def _otlp(settings: Settings, signal: Signal, protocol: str) -> Any:
    from ..pipeline.otlp import OtlpOptions, make_otlp_exporters  # costs a process without OTLP nothing

    try:
        return getattr(
            make_otlp_exporters(protocol, (signal,), OtlpOptions(*_options(settings, signal, protocol))),
            _FIELD[signal],
        )
    except (ValueError, ImportError) as error:
        warn_once(
            f"otlp:{signal}",
            "otel-agent: no OTLP exporter for %s (protocol %s): %s. Check OTEL_EXPORTER_OTLP_PROTOCOL and _ENDPOINT.",
            signal,
            protocol,
            error,
        )
        return None


def _options(settings: Settings, signal: Signal, protocol: str) -> tuple[float, dict[Signal, str]]:
    """The timeout and the endpoint, which may come from the configuration file that the exporter does not know."""
    endpoint: str | None = getattr(settings, f"{signal}_endpoint")
    if endpoint is None and settings.endpoint is not None:
        # As OTel's specification says: the general endpoint is a base for HTTP, and the endpoint itself for gRPC.
        grpc = protocol == "grpc"
        endpoint = settings.endpoint if grpc else f"{settings.endpoint.rstrip('/')}/v1/{signal}"
    endpoints: dict[Signal, str] = {signal: endpoint} if endpoint else {}
    return settings.for_signal(signal, "timeout"), endpoints


def _by_entry_point(signal: Signal, name: str) -> Any:
    for entry_point in entry_points(group=f"opentelemetry_{signal}_exporter", name=name):
        return entry_point.load()()
    warn_once(
        f"exporter:{signal}:{name}",
        "otel-agent: OTEL_%s_EXPORTER names %r, and no installed package has an exporter of that name: it is left out.",
        signal.upper(),
        name,
    )
    return None


def span_processors(settings: Settings, choice: Choice) -> list[AgentSpanProcessor]:
    """One processor, with a queue of its own, for each exporter of spans."""
    limits = _limits(settings, "traces", settings.bsp_delay_ms, settings.bsp_queue, settings.bsp_batch)
    exporters = [*([EnvelopeSpanExporter()] if choice.ledger else []), *load(settings, "traces", choice)]
    return [AgentSpanProcessor(exporter, limits) for exporter in exporters]


def log_processors(settings: Settings, choice: Choice) -> list[AgentLogProcessor]:
    """The same for log records."""
    limits = _limits(settings, "logs", settings.blrp_delay_ms, settings.blrp_queue, settings.blrp_batch)
    exporters = [*([EnvelopeLogExporter()] if choice.ledger else []), *load(settings, "logs", choice)]
    return [AgentLogProcessor(exporter, limits) for exporter in exporters]


def _limits(settings: Settings, signal: Signal, delay_ms: int, queue: int | None, batch: int) -> Limits:
    # Bounded in bytes first: OTel's default of 2048 spans is a second of a busy agent. The user's own number counts.
    return Limits(
        delay=delay_ms / 1000,
        max_items=queue or 65_536,
        batch_items=min(batch, queue or batch),
        max_bytes=settings.queue_bytes,
        attempt=settings.for_signal(signal, "timeout"),
    )
