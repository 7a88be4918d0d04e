# SPDX-License-Identifier: Apache-2.0
"""Which exporters each signal gets (contracts 3), from the settings alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from ..config import Settings

Signal = Literal["traces", "logs", "metrics"]
ENVELOPE = "agent_envelope"
_GRPC_PORT = 4317


class Choice(NamedTuple):
    """The exporters of one signal by their entry-point names, the protocol of `otlp`, and whether the ledger is on."""

    exporters: tuple[str, ...]
    protocol: str
    ledger: bool


def choose(settings: Settings, signal: Signal) -> Choice:
    """What ``signal`` gets: what was asked for, else OTLP where there is an endpoint, and the ledger beside it."""
    named: tuple[str, ...] | None = getattr(settings, f"{signal}_exporter")
    endpoint: str | None = settings.for_signal(signal, "endpoint")
    if named == ("otlp",) and not endpoint and "opentelemetry.distro" in sys.modules:
        # What the stock distro put into the process's environment is nobody's choice.
        named = None
    explicit = named is not None
    exporters = [name for name in named or () if name != "none"]
    ledger = ENVELOPE in exporters if explicit else signal != "metrics"
    if settings.ledger is not None and signal != "metrics":
        ledger = settings.ledger
    exporters = [name for name in exporters if name != ENVELOPE or signal == "metrics"]
    if not explicit and endpoint:
        exporters.append("otlp")
    return Choice(tuple(dict.fromkeys(exporters)), _protocol(settings, signal, endpoint), ledger)


def _protocol(settings: Settings, signal: Signal, endpoint: str | None) -> str:
    chosen: str | None = settings.for_signal(signal, "protocol")
    if chosen:
        return chosen.strip().lower()
    try:
        port = urlsplit(endpoint if "//" in (endpoint or "") else f"//{endpoint}").port if endpoint else None
    except ValueError:
        port = None
    return "grpc" if port == _GRPC_PORT else "http/protobuf"
