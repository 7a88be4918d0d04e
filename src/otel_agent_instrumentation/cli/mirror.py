# SPDX-License-Identifier: Apache-2.0
"""Serve the numbers of ledger files to Prometheus: for an agent that cannot be scraped, or for many.

What is appended to the files from now on is counted under the names that the agent's own metrics have. Settings are
those of `/metrics`: OTEL_AGENT_METRICS_TOKEN (or _TOKEN_FILE, _BASIC), OTEL_AGENT_METRICS_ANONYMOUS, _CERT, _KEY,
OTEL_EXPORTER_PROMETHEUS_HOST and _PORT. Ends with SIGINT or SIGTERM.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource

from .. import config, semconv
from ..core import settings as settings_in_force
from ..core.contain import Contained
from ..metrics.access import access_of
from ..metrics.prometheus import PrometheusReader
from ..metrics.serving import serve
from ..metrics.views import views
from ..redaction.install import install as guard
from ..redaction.policy import default_policy
from ..signals.metrics import Metrics
from ._mirror_files import Tail
from ._mirror_numbers import Numbers
from ._text import clean

if TYPE_CHECKING:
    import argparse

_PAUSE = 0.5  # seconds between two looks at the files
_LINE = Contained("mirror.line")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("path", nargs="?", help="a folder of ledger files, or one file; by default the ledger's folder")
    parser.add_argument("--history", action="store_true", help="count what stands in the files already, too")
    parser.add_argument("--host", help="where to serve; by default OTEL_EXPORTER_PROMETHEUS_HOST, else localhost")
    parser.add_argument("--port", type=int, help="by default OTEL_EXPORTER_PROMETHEUS_PORT, else 9464")


def run(options: argparse.Namespace) -> int:
    """Mirror until a signal comes. Exits with 1 where nobody can be served."""
    settings = config.load()
    settings = settings._replace(
        prometheus_host=options.host or settings.prometheus_host,
        prometheus_port=settings.prometheus_port if options.port is None else options.port,
    )
    settings_in_force.use(settings)
    default_policy().use(settings)
    access = access_of(settings)
    if not access.usable:
        sys.stderr.write(
            "otel-agent: a token is needed: set OTEL_AGENT_METRICS_TOKEN, or OTEL_AGENT_METRICS_ANONYMOUS=true\n"
        )
        return 1
    path = Path(options.path or settings.ledger_path or settings.ledger_dir)
    tail = Tail(path, history=options.history)  # before anybody is told that it begins
    reader = PrometheusReader()
    server = serve(reader, access, settings)
    if server is None:
        return 1
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: over.set())  # noqa: ARG005 - a handler's signature
    print(f"serving the numbers of {clean(str(path))} at port {server.port}", flush=True)
    _mirror(tail, reader, settings, over)
    server.close()
    return 0


def _mirror(tail: Tail, reader: PrometheusReader, settings: config.Settings, over: threading.Event) -> None:
    provider = MeterProvider(
        [reader], Resource({"service.name": settings.agent()}), views=views(), shutdown_on_exit=False
    )
    guard(provider)
    flavours = semconv.flavours(settings.semconv)
    numbers: Any = Numbers(Metrics(provider.get_meter(semconv.SCOPE, semconv.VERSION), flavours))
    while True:
        ends = over.is_set()
        for line in tail.lines():
            with _LINE:
                numbers.take(line)
        if ends:
            break
        over.wait(_PAUSE)
    if tail.unreadable:
        sys.stderr.write(f"otel-agent: {tail.unreadable} lines could not be read\n")
