# SPDX-License-Identifier: Apache-2.0
"""Records of `logging` carry run and trace where logs are exported, and the agent's logging is as it was."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from otel_agent_instrumentation import instrument, run, semconv, uninstrument
from otel_agent_instrumentation.envelope import line as envelope
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.otlp_sink import OtlpSink

AGENT = Path(__file__).with_name("log_agent.py")
FOLDER = Path("logs/telemetry")
TOLD = ["before the run", "in cycle 1", "failed"]


def launch(configured: str, *, instrumented: bool = True, **variables: str) -> tuple[str, str]:
    launcher = [str(Path(sysconfig.get_path("scripts")) / "opentelemetry-instrument")] if instrumented else []
    done = subprocess.run(
        [*launcher, sys.executable, str(AGENT), configured],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OTEL_AGENT_SUMMARY": "false", **variables},
    )
    return done.stdout, done.stderr


def records() -> list[envelope.Line]:
    read = [envelope.decode(data) for file in FOLDER.glob("*.jsonl") for data in file.read_bytes().splitlines()]
    return [line for line in sorted(read, key=lambda one: one.time_unix_nano or 0) if line.event == "log.record"]


@pytest.mark.parametrize("configured", ["configured", "not"])
def test_they_are_exported_with_run_and_trace(configured):
    with OtlpSink() as sink:
        launch(configured, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        logs = [log for log in sink.logs() if log.event_name in {"", None}]
        (root,) = [span for span in sink.spans() if span.name == "invoke_agent coder"]
    assert [log.body for log in logs] == TOLD
    before, within, failed = logs
    assert semconv.RUN_ID not in before.attributes
    for log in (within, failed):
        assert log.attributes[semconv.RUN_ID] == root.attributes[semconv.RUN_ID]
        assert (log.attributes[semconv.CYCLE], log.attributes[semconv.USER_ID]) == (1, "u-1")
        assert log.trace_id == root.trace_id
    assert failed.attributes["exception.type"] == "ValueError"


@pytest.mark.parametrize("configured", ["configured", "not"])
@pytest.mark.parametrize("asked", ["true", ""])
def test_for_the_ledger_alone_only_if_asked_and_nothing_of_the_agents_changes(asked, configured):
    plain = launch(configured, instrumented=False)
    told = launch(configured, OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION=asked)
    assert told[0] == plain[0]
    assert told[1] == plain[1]
    assert [line.payload["body"] for line in records()] == (TOLD if asked else [])
    assert len({line.run_id for line in records()}) == (2 if asked else 0)


def test_a_level_and_a_refusal_are_kept():
    launch("not", OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION="true", OTEL_PYTHON_LOG_HANDLER_LEVEL="error")
    assert [line.payload["body"] for line in records()] == ["failed"]
    with OtlpSink() as sink:
        launch("not", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION="false")
        assert [log for log in sink.logs() if not log.event_name] == []
        launch("not", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_AGENT_DISABLED="logging")
        assert [log for log in sink.logs() if not log.event_name] == []


class LoggingHandler(logging.Handler):
    """What another package of OpenTelemetry's hangs on the root logger."""

    def emit(self, record: logging.LogRecord) -> None:
        """Nothing."""


def test_another_handler_of_opentelemetrys_tells_instead(monkeypatch):
    monkeypatch.setenv("OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION", "true")
    there = LoggingHandler()
    with capture() as captured, run("coder"):
        logging.getLogger("mine").warning("ours")
        logging.getLogger().addHandler(there)
        try:
            logging.getLogger("mine").warning("theirs")
        finally:
            logging.getLogger().removeHandler(there)
        assert [log.body for log in captured.logs()] == ["ours"]


def test_taken_back_the_logger_is_what_it_was(monkeypatch):
    monkeypatch.setenv("OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION", "true")
    before, handlers = vars(logging.Logger)["callHandlers"], [*logging.getLogger().handlers]
    instrument()
    assert vars(logging.Logger)["callHandlers"] is not before
    uninstrument()
    assert vars(logging.Logger)["callHandlers"] is before
    assert logging.getLogger().handlers == handlers
