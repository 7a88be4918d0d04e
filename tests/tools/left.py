# SPDX-License-Identifier: Apache-2.0
"""All that left a process under test, as text: for looking for what must not be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_agent_instrumentation.testing.capture import Captured
    from otel_agent_instrumentation.testing.provider import Provider


def everything(captured: Captured, provider: Provider | None = None) -> dict[str, str]:
    """What left, by where it left. ``http``: what the provider received."""
    data = captured.reader.get_metrics_data()
    return {
        "spans": repr([span.to_json() for span in captured.spans(roots=True)]),
        "logs": repr([(log.body, dict(log.attributes or {})) for log in captured.logs()]),
        "ledger": repr(captured.lines()),
        "metrics": data.to_json() if data is not None else "",
        "http": repr(provider.requests) if provider is not None else "",
    }
