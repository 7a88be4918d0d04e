# SPDX-License-Identifier: Apache-2.0
"""Servers with worker processes: every request's span arrives when they are told to stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from otel_agent_instrumentation.testing.otlp_sink import OtlpSink

HERE = Path(__file__).parent
SOURCE = HERE.parent.parent / "src"
REQUESTS = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(port: int) -> bytes:
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                return answer.read()
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("gunicorn", ["--preload", "--workers", "2", "--bind", "127.0.0.1:{port}", "web:wsgi"]),
        ("gunicorn", ["--workers", "2", "--threads", "2", "--bind", "127.0.0.1:{port}", "web:wsgi"]),
        ("uvicorn", ["--workers", "2", "--port", "{port}", "web:asgi"]),
        ("uvicorn", ["--port", "{port}", "web:asgi"]),
    ],
    ids=["gunicorn-preload", "gunicorn-threads", "uvicorn-workers", "uvicorn"],
)
def test_workers_deliver_everything_once_when_stopped(tmp_path, module, arguments):
    pytest.importorskip(module)
    port = free_port()
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PYTHON"))}
    with OtlpSink() as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *(argument.format(port=port) for argument in arguments)],
            env={
                **inherited,
                "PYTHONPATH": os.pathsep.join([str(HERE / "launch"), str(SOURCE)]),
                "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
                "WEB_EMITS_AT_IMPORT": "1" if "--preload" in arguments else "",
            },
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            pids = Counter(get(port) for _ in range(REQUESTS))
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=30)
        finally:
            process.kill()
        spans = Counter(span.name for span in sink.spans())
    assert sum(pids.values()) == REQUESTS
    assert spans["request-0"] == REQUESTS, output
    # What was queued before the fork is the parent's, and comes once.
    assert spans["import-0"] == (1 if "--preload" in arguments else 0), output
