# SPDX-License-Identifier: Apache-2.0
"""How each vendor's documentation says that its instrumentation is switched on and off."""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "official": "opentelemetry.instrumentation.genai.{}",
    "openinference": "openinference.instrumentation.{}",
    "openllmetry": "opentelemetry.instrumentation.{}",
}
_open: list[Any] = []


def _logfire() -> Any:
    return importlib.import_module("logfire")


def _instrumentors(vendor: str) -> list[Any]:
    pairs = (("openai", "OpenAIInstrumentor"), ("anthropic", "AnthropicInstrumentor"))
    return [getattr(importlib.import_module(_MODULES[vendor].format(name)), cls)() for name, cls in pairs]


def instrument(vendor: str) -> None:
    if vendor == "logfire":
        _open[:] = [_logfire().instrument_openai(), _logfire().instrument_anthropic()]
        return
    for instrumentor in _instrumentors(vendor):
        instrumentor.instrument()


def instrument_clients(gpt: Any, agpt: Any, claude: Any, aclaude: Any) -> None:
    """Logfire's other way: client by client."""
    _open[:] = [_logfire().instrument_openai(client) for client in (gpt, agpt)]
    _open.extend(_logfire().instrument_anthropic(client) for client in (claude, aclaude))


def uninstrument(vendor: str) -> None:
    if vendor == "logfire":  # by leaving the blocks that its functions return
        while _open:
            with _open.pop():
                pass
        return
    for instrumentor in _instrumentors(vendor):
        instrumentor.uninstrument()


def configure_logfire(exporter: Any, reader: Any) -> None:
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    _logfire().configure(
        send_to_logfire=False,
        console=False,
        additional_span_processors=[SimpleSpanProcessor(exporter)],
        metrics=_logfire().MetricsOptions(additional_readers=[reader]),
    )
