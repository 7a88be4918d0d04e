# SPDX-License-Identifier: Apache-2.0
"""Start-up: what our code adds to an interpreter that has the SDK and the chosen exporters already.

What is subtracted is done in the same process before the clock starts, and no more than any set-up without us does:
the launcher's own loading with its look through the entry points, the SDK's packages, one provider a signal, and the
stock exporters of the chosen protocol *made*, once a signal (over HTTP it is making one that imports `requests`, over
gRPC the module does). We make exporters of our own all the same, and that counts as ours; so does all else.

Children find compiled bytecode, as pip and a second start leave it, whatever `PYTHONDONTWRITEBYTECODE` says here; the
last column is taken without any, where every module of ours is compiled from its source at each start.
What a client's import and the first call pay later, because start-up does not, is measured as well.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 11
_ROOT = Path(__file__).resolve().parent.parent
_SDK = """
import opentelemetry.instrumentation.auto_instrumentation._load
import opentelemetry.sdk._logs.export, opentelemetry.sdk.metrics.export, opentelemetry.sdk.trace.export
import opentelemetry.sdk.resources
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
TracerProvider(shutdown_on_exit=False), MeterProvider(shutdown_on_exit=False), LoggerProvider(shutdown_on_exit=False)
from opentelemetry.util._importlib_metadata import entry_points
entry_points(group="opentelemetry_distro")
"""
_EXPORTERS = """
from opentelemetry.exporter.otlp.proto.{0}._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.{0}.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.{0}.trace_exporter import OTLPSpanExporter
stock = OTLPSpanExporter(), OTLPLogExporter(), OTLPMetricExporter()
"""
_OURS = """
from otel_agent_instrumentation import bootstrap as b
b.AgentConfigurator().configure(); b.pre_instrument(); b.AgentInstrumentor().instrument(); b.post_instrument()
"""
_CLIENT = """
from benchmarks import fixtures
client = fixtures.client()
"""
_CALL = "fixtures.call(client)"
_CLOCK = "\nclock.append(time.perf_counter())\n"


@dataclass(frozen=True, slots=True)
class _Setting:
    name: str
    exporters: str | None
    environment: dict[str, str]


_SETTINGS = (
    _Setting("ledger only", None, {}),
    _Setting("with OTLP/HTTP", "http", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}),
    _Setting("with OTLP/gRPC", "grpc", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}),
    _Setting("OTEL_SDK_DISABLED", None, {"OTEL_SDK_DISABLED": "true"}),
)


def _child(before: str, timed: tuple[str, ...], environment: dict[str, str]) -> list[float]:
    """The milliseconds of each piece of ``timed``, in an interpreter of its own that has run ``before``."""
    code = "import os, sys, time\n" + before + "\nclock = []" + _CLOCK + _CLOCK.join(timed) + _CLOCK
    # Without its exit, which flushes for a while to a backend that is not there.
    code += "print(*((b - a) * 1000 for a, b in zip(clock, clock[1:])), flush=True); os._exit(0)\n"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "OTEL_AGENT_SUMMARY": "false", **environment},
        capture_output=True,
        text=True,
        check=True,
        cwd=_ROOT,
    )
    return [float(word) for word in done.stdout.split()]


def _start(setting: _Setting, bytecode: dict[str, str]) -> float:
    before = _SDK + (_EXPORTERS.format(setting.exporters) if setting.exporters else "")
    return _child(before, (_OURS,), {**bytecode, **setting.environment})[0]


def main() -> None:
    """Print the milliseconds that our code adds, by exporter; then those of a client's import and first call."""
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryDirectory() as ledger:
        compiled = {"PYTHONPYCACHEPREFIX": cache, "OTEL_AGENT_LEDGER_DIR": ledger}
        bare = {"PYTHONPYCACHEPREFIX": os.devnull, "PYTHONDONTWRITEBYTECODE": "1", "OTEL_AGENT_LEDGER_DIR": ledger}
        for setting in _SETTINGS:
            _start(setting, compiled)  # fills the cache
        _child(_SDK + _OURS, (_CLIENT, _CALL), compiled)
        found: dict[str, tuple[list[float], list[float]]] = {setting.name: ([], []) for setting in _SETTINGS}
        later: list[list[list[float]]] = []
        for _ in range(ROUNDS):
            for setting in _SETTINGS:
                for values, bytecode in zip(found[setting.name], (compiled, bare), strict=True):
                    values.append(_start(setting, bytecode))
            later.append([_child(_SDK + ours, (_CLIENT, _CALL), compiled) for ours in ("", _OURS)])
    print(f"\nstart-up of our code over the SDK and its exporters (median of {ROUNDS} rounds; and without bytecode)")
    for name, (quick, slow) in found.items():
        print(f"  {name:18} {statistics.median(quick):5.1f} ms   ({statistics.median(slow):5.1f} ms)")
    print("after it, over an uninstrumented process")
    for index, name in enumerate(("import of openai", "first call")):
        over = [with_us[index] - without[index] for without, with_us in later]
        bases = [without[index] for without, _ in later]
        print(f"  {name:18} {statistics.median(over):+5.1f} ms   (of {statistics.median(bases):.1f} ms without us)")


if __name__ == "__main__":
    main()
