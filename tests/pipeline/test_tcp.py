# SPDX-License-Identifier: Apache-2.0
"""Ledger lines over a socket: every line once, after a break too, counted where lost, and never in the agent's way."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

from clients import ASK, Scene
from otel_agent_instrumentation.core.runs import Run
from otel_agent_instrumentation.ledger.lines import Event
from otel_agent_instrumentation.ledger.writer import Writer
from otel_agent_instrumentation.pipeline.batch import Lane
from otel_agent_instrumentation.pipeline.queue import Limits
from otel_agent_instrumentation.pipeline.tcp import TcpTarget
from otel_agent_instrumentation.testing.capture import capture
from receiver import Receiver


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


def _limits(**changes: Any) -> Limits:
    return Limits(delay=0.05, attempt=2.0)._replace(**changes)


def lane(port: int, **limits: Any) -> Lane[bytes]:
    return Lane("ledger lines", TcpTarget("127.0.0.1", port), _limits(**limits))


def put(to: Lane[bytes], numbers: range) -> None:
    for number in numbers:
        line = b'{"n": %d}\n' % number
        to.put(line, len(line))


def test_lines_arrive_in_order(receiver):
    sender = lane(receiver.port)
    put(sender, range(1000))
    assert sender.flush(5)
    assert [line["n"] for line in receiver.wait_for(1000)] == list(range(1000))
    assert sender.shutdown(2)
    assert sender.queue.accounts.snapshot().exported == 1000


@pytest.mark.logs
def test_it_connects_again(receiver):
    sender = lane(receiver.port)
    put(sender, range(10))
    assert sender.flush(5)
    receiver.wait_for(10)
    receiver.close()
    again = Receiver(receiver.port)
    put(sender, range(10, 20))
    assert sender.flush(10)
    assert [line["n"] for line in again.wait_for(10)] == list(range(10, 20))
    sender.shutdown(2)
    again.close()


@pytest.mark.logs
def test_nobody_there_is_counted_and_never_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    sender = lane(port, max_items=100, attempt=0.2)
    begin = time.monotonic()
    put(sender, range(1000))
    assert time.monotonic() - begin < 1
    sender.shutdown(0.5)
    books = sender.queue.accounts.snapshot()
    assert books.emitted == 1000
    assert books.dropped["queue_full"] >= 900
    assert books.lost == 1000


@pytest.mark.logs
def test_a_receiver_that_reads_nothing_holds_nobody_up():
    server = socket.create_server(("127.0.0.1", 0))
    sender = lane(server.getsockname()[1], max_bytes=1 << 20, attempt=0.2)
    line = b"x" * 100_000 + b"\n"
    begin = time.monotonic()
    for _ in range(500):
        sender.put(line, len(line))
    assert time.monotonic() - begin < 1
    assert sender.queue.accounts.snapshot().queued_bytes <= 2 << 20
    sender.shutdown(1)
    server.close()


@pytest.mark.faults
def test_a_file_that_cannot_be_written_does_not_silence_the_socket(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    writer = Writer(str(blocked / "folder"), None, {"service.name": "s"}, "s")
    got: list[bytes] = []
    writer.sinks.append(lambda _, data: got.append(data))
    for number in range(2):
        writer.write(Event("a.b", number + 1, {"n": number, "redacted_fields": []}, Run("r", "s")))
    writer.close(30)
    assert writer.lost() == {"write_failed": 2}
    lines = [json.loads(line) for line in got]
    assert [(line["event"], line["seq"]) for line in lines] == [("resource", 1), ("a.b", 2), ("a.b", 3)]


@pytest.mark.parametrize("file", ["true", "false"])
def test_a_call_is_told_to_the_socket_redacted(receiver, monkeypatch, tmp_path, file):
    monkeypatch.setenv("OTEL_AGENT_LEDGER_TCP", f"127.0.0.1:{receiver.port}")
    monkeypatch.setenv("OTEL_AGENT_LEDGER", file)
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    secret = "sk-" + "ant-api03-" + "a1B2c3D4" * 6
    with Scene() as scene, capture():
        scene.openai.chat.completions.create(**{**ASK, "messages": [{"role": "user", "content": f"use {secret}"}]})
    lines = receiver.wait_for(3)
    assert lines[0]["event"] == "resource"
    (span,) = [line for line in lines if line["event"] == "span.ended" and "chat" in line["payload"]["name"]]
    assert secret.encode() not in b"".join(map(bytes, receiver.received))
    assert span["payload"]["redacted_fields"] == ["payload.attributes['gen_ai.input.messages'][0].parts[0].content"]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    written = list((tmp_path / "logs" / "telemetry").glob("*.jsonl"))
    assert bool(written) == (file == "true")
