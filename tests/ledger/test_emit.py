# SPDX-License-Identifier: Apache-2.0
"""Events of an agent's own: what is recorded, when, with whose run and trace; nothing of it is the agent's trouble."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry._logs import SeverityNumber

import otel_agent_instrumentation
from otel_agent_instrumentation import append_ledger, emit_alert, emit_event, run
from otel_agent_instrumentation.envelope import categories
from otel_agent_instrumentation.testing import lines
from otel_agent_instrumentation.testing.capture import Captured, capture
from suite_policy import ROOT

LEDGER = Path("logs/telemetry")
DOCUMENT = ROOT.parent / "shared" / "seeds" / "real-time-logging-system.md"
OWN = {"resource", "span.ended"}


def told(captured: Captured) -> list[Any]:
    """What the test told, without what a run tells of itself."""
    return [line for line in captured.lines() if line.event not in OWN and line.tags.get("task_id") != line.run_id]


@pytest.fixture
def captured():
    with capture() as found:
        yield found


def test_an_event_is_a_line_with_its_ids_and_a_log_event_in_its_trace(captured):
    tracer = captured.tracer_provider.get_tracer("theirs")
    with run("coder") as made, tracer.start_as_current_span("work") as span:
        assert emit_event("thesis_start", {"goal": "g", "n": 1}, task_id="t", persona_id="p", session_id="s")
        ids = span.get_span_context()
    (line,) = told(captured)
    assert line.event == "thesis_start"
    assert line.payload == {"goal": "g", "n": 1, "redacted_fields": []}
    assert line.tags == {
        "agent": "coder",
        "category": "lifecycle",
        "task_id": "t",
        "persona_id": "p",
        "session_id": "s",
    }
    assert (line.trace_id, line.span_id) == (f"{ids.trace_id:032x}", f"{ids.span_id:016x}")
    assert abs(line.unix - line.time_unix_nano / 1e9) < 1e-3
    (log,) = [log for log in captured.logs() if log.event_name == "thesis_start"]
    assert (log.trace_id, log.span_id, log.body) == (ids.trace_id, ids.span_id, {"goal": "g", "n": 1})
    attributes = dict(log.attributes)
    assert (attributes["agent.task.id"], attributes["session.id"], attributes["agent.run.id"]) == (
        "t",
        "s",
        line.run_id,
    )
    assert made.outcome == "ok"
    assert lines.check_folder(LEDGER) == []


def test_what_is_changed_after_the_call_is_not_in_the_line(captured):
    payload: dict[str, Any] = {"word": "before", "deep": {"list": [1, {"a": "before"}]}}
    emit_event("eval", payload)
    payload["word"] = payload["deep"]["list"][1]["a"] = "after"
    payload["deep"]["list"].append("after")
    (line,) = told(captured)
    assert line.payload == {"word": "before", "deep": {"list": [1, {"a": "before"}]}, "redacted_fields": []}


def test_secrets_are_redacted_in_payload_tags_and_name_alike(captured):
    secret = "sk-" + "ant-api03-" + "a1B2c3D4" * 6
    emit_event(f"x {secret}", {"password": "of-mine-1234", "deep": [f"use {secret}"]}, task_id=secret)
    (line,) = told(captured)
    assert line.payload["redacted_fields"] == ["payload.deep[0]", "payload.password"]
    left = b"".join(file.read_bytes() for file in LEDGER.glob("*.jsonl")) + repr(captured.logs()).encode()
    assert secret.encode() not in left
    assert b"of-mine-1234" not in left


def test_an_unknown_type_is_recorded_and_marked_and_so_is_a_field_of_another_type(captured):
    emit_event("my.own", {"a": 1})
    emit_event("eval", {"quality": "good", "confidence": None, "score": 1})
    own, known = told(captured)
    assert (own.event, own.tags["category"]) == ("my.own", "unknown")
    assert (known.tags["category"], known.tags["mistyped"]) == ("lifecycle", "quality")


@pytest.mark.parametrize(
    ("severity", "number"),
    [("info", SeverityNumber.INFO), ("warning", SeverityNumber.WARN), ("CRITICAL", SeverityNumber.FATAL)],
)
def test_an_alert_has_its_severity_in_the_line_and_the_log(captured, severity, number):
    emit_alert(severity, "Port silent", component="proxy", port=18091)
    (line,) = told(captured)
    assert line.tags["severity"] == severity.lower()
    assert {key: line.payload[key] for key in ("severity", "message", "component", "port")} == {
        "severity": severity,
        "message": "Port silent",
        "component": "proxy",
        "port": 18091,
    }
    assert [log.severity_number for log in captured.logs()] == [number]


class Awkward:
    """Cannot even be shown."""

    def __repr__(self) -> str:
        raise ValueError("no")


def _itself() -> list[Any]:
    loop: list[Any] = []
    loop.extend([loop, loop])
    return loop


@pytest.mark.faults
@pytest.mark.parametrize(
    "value",
    [2**70, -(2**5000), float("nan"), "\ud800", b"\xff", {1, "a"}, {(1, 2): "\ud800"}, Awkward(), _itself(), object],
    ids=["large", "huge", "nan", "surrogate", "bytes", "set", "key", "awkward", "itself", "type"],
)
def test_whatever_it_holds_it_is_recorded_and_a_reader_reads_it(captured, value):
    assert emit_event("odd.value", {"value": value, "beside": 1})
    (line,) = told(captured)
    assert line.payload["beside"] == 1
    assert lines.check_folder(LEDGER) == []


@pytest.mark.parametrize("payload", [None, 1, "text", [1], SimpleNamespace(a=1)])
def test_a_payload_that_is_no_mapping_is_taken_too(captured, payload):
    assert emit_event("odd.payload", payload)
    assert emit_event(7, {"redacted_fields": "mine"})  # pyright: ignore[reportArgumentType]
    assert lines.check_folder(LEDGER) == []
    assert [line.event for line in told(captured)] == ["odd.payload", "7"]


def test_a_plain_old_line_becomes_an_event(captured):
    append_ledger({"event": "eval", "task_id": "t", "quality": 0.85})
    append_ledger({"type": "x", "a": 1})
    append_ledger({"a": 1})
    first, second, third = told(captured)
    assert (first.event, first.tags["task_id"], first.payload["quality"]) == ("eval", "t", 0.85)
    assert (second.event, third.event) == ("x", "ledger_record")


def test_threads_lose_nothing_and_what_each_says_is_in_order(captured):
    def work(name: int) -> None:
        for number in range(500):
            emit_event("task_progress", {"done": number, "of": name})

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    said: dict[int, list[int]] = {}
    found = told(captured)
    for line in found:
        said.setdefault(line.payload["of"], []).append(line.payload["done"])
    assert said == {name: list(range(500)) for name in range(8)}
    assert [line.seq for line in found] == list(range(2, 4002))


@pytest.mark.logs
def test_after_uninstrument_it_says_false():
    with capture():
        assert emit_event("eval", {})
    assert emit_event("eval", {}) is False


def emitting(code: str, folder: Path, **environ: str) -> list[dict[str, Any]]:
    """What a process that nobody instrumented leaves in the ledger."""
    code = f"from otel_agent_instrumentation import *\n{code}"
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "AGI_"))}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, env={**clean, **environ}, timeout=60)
    path = environ.get("AGI_LEDGER_PATH")
    files = [Path(path)] if path else sorted((folder / LEDGER).glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def test_a_process_that_nobody_instrumented_records_too(tmp_path):
    found = emitting("emit_event('system_startup', {'component': 'x'})", tmp_path)
    assert [line["event"] for line in found] == ["resource", "system_startup"]


def test_the_documents_variables_are_heeded(tmp_path):
    path = tmp_path / "custom" / "ledger.jsonl"
    code = "for n in range(1000): assert emit_event('task_progress', {'done': n})"
    documented = {"AGI_EVENT_ASYNC": "true", "AGI_EVENT_BUFFER_SIZE": "100", "AGI_EVENT_FLUSH_INTERVAL": "5"}
    found = emitting(code, tmp_path, AGI_LEDGER_PATH=str(path), **documented)
    assert [line["payload"].get("done") for line in found] == [None, *range(1000)]


@pytest.mark.parametrize("setting", [{"AGI_EVENT_ASYNC": "false"}, {"OTEL_AGENT_LEDGER_DURABILITY": "fsync"}])
def test_a_synchronous_event_is_in_the_file_when_the_call_returns(tmp_path, setting):
    code = "import os; emit_event('eval', {'quality': 1.0}); os._exit(0)"
    assert [line["event"] for line in emitting(code, tmp_path, **setting)] == ["resource", "eval"]


def test_an_event_is_in_the_file_though_nobody_flushes():
    with capture() as captured:
        emit_event("eval", {})
        captured.lines()  # from here on nothing is made for the first time
        begin = time.monotonic()
        emit_event("rune", {})
        file = next(LEDGER.glob("*.jsonl"))
        while b"rune" not in file.read_bytes():
            assert time.monotonic() - begin < 30
            time.sleep(0.01)


def test_there_are_fifty_categories_in_the_documents_groups_and_a_schema_of_each():
    names = [row.name for row in categories.BUILTIN]
    assert len(names) == len(set(names)) >= 50
    document = categories.schema()
    assert set(names) <= set(document["$defs"])
    assert document["$defs"]["task_completed"]["properties"]["quality"] == {"type": ["number", "null"]}


@pytest.mark.shared
def test_every_python_call_of_the_document_works_as_written(captured, monkeypatch):
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(categories.find(name) for name in _listed(text))
    task = SimpleNamespace(task_id="task-7")
    names = dict.fromkeys(
        ("avg_confidence", "avg_quality", "second_pass_rate", "cpu_usage", "memory_usage", "confidence"), 0.5
    )
    space = {"task": task, "task_id": "task-7", "used_pass": 2, "cache_hit": 1, "added": 3, "after_cnt": 4, **names}
    space["threshold"] = 0.6
    # The first example imports one of the four functions that it calls.
    space |= {name: getattr(otel_agent_instrumentation, name) for name in otel_agent_instrumentation.__all__}
    calls = 0
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        code = re.sub(r"from \S*(event_emitter|memory_bus) import", "from otel_agent_instrumentation import", block)
        calls += len(re.findall(r"^ *(?:emit_\w+|append_ledger)\(", code, re.MULTILINE))
        exec(code, dict(space))
    found = told(captured)
    assert calls == len(found) == 12
    assert lines.check_folder(LEDGER) == []
    assert {line.event: line.tags.get("task_id") for line in found if line.event == "evidence_correction"} == {
        "evidence_correction": "task-7"
    }
    assert [line.tags["category"] for line in found if line.tags["category"] == "unknown"] == []


def _listed(text: str) -> list[str]:
    section = text.partition("### 3. Event Categories")[2].partition("\n---")[0]
    names = re.findall(r"`(\w+)`", section)
    assert len(names) == 39
    return names
