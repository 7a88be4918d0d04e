# SPDX-License-Identifier: Apache-2.0
"""Start-up: what our code adds to an interpreter that has the SDK and the chosen exporters already."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

ROUNDS = 9
_SDK = (
    "import opentelemetry.instrumentation.auto_instrumentation._load, opentelemetry.sdk.trace,"
    " opentelemetry.sdk.metrics, opentelemetry.sdk._logs, opentelemetry.sdk.trace.export,"
    " opentelemetry.sdk._logs.export, opentelemetry.sdk.metrics.export, opentelemetry.trace, opentelemetry._logs,"
    " opentelemetry.metrics, opentelemetry.sdk.resources\n"
    "from opentelemetry.sdk.trace import TracerProvider; TracerProvider(shutdown_on_exit=False)\n"
    "from opentelemetry.sdk.metrics import MeterProvider; MeterProvider(shutdown_on_exit=False)\n"
    "from opentelemetry.sdk._logs import LoggerProvider; LoggerProvider(shutdown_on_exit=False)\n"
    # The launcher has looked through the installed entry points before any of our code runs.
    "from opentelemetry.util._importlib_metadata import entry_points; entry_points(group='opentelemetry_distro')\n"
)
_OTLP = (
    "import opentelemetry.exporter.otlp.proto.http.trace_exporter,"
    " opentelemetry.exporter.otlp.proto.http._log_exporter, opentelemetry.exporter.otlp.proto.http.metric_exporter\n"
)
_OURS = (
    "import time; begin = time.perf_counter()\n"
    "from otel_agent_instrumentation import bootstrap as b\n"
    "b.AgentConfigurator().configure(); b.pre_instrument(); b.AgentInstrumentor().instrument(); b.post_instrument()\n"
    "print((time.perf_counter() - begin) * 1000)\n"
)


def _once(code: str, **environment: str) -> float:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "OTEL_AGENT_SUMMARY": "false", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    """Print the milliseconds that our code adds, without and with OTLP."""
    plain, otlp = [], []
    for _ in range(ROUNDS):
        plain.append(_once(_SDK + _OURS))
        otlp.append(_once(_SDK + _OTLP + _OURS, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9"))
    print(f"\nstart-up of our code over the SDK ({ROUNDS} rounds)")
    print(f"  ledger only        {statistics.median(plain):5.1f} ms")
    print(f"  with OTLP/HTTP     {statistics.median(otlp):5.1f} ms over the SDK and its exporters")
