# SPDX-License-Identifier: Apache-2.0
"""The published schema is what every line keeps: those of calls in every way out, and those of the exporters."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anthropic
import jsonschema
import openai
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from ledger_lines import RUN, call, line, root, write
from otel_agent_instrumentation import run
from otel_agent_instrumentation.envelope import line as envelope
from otel_agent_instrumentation.envelope import schema
from otel_agent_instrumentation.ledger.exporter import EnvelopeMetricExporter, EnvelopeSpanExporter
from otel_agent_instrumentation.testing import lines
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import Provider, Reply, Tool, openai_chat, openai_error

LEDGER = Path("logs/telemetry")
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


def test_is_a_schema_of_its_own_draft():
    document = schema.load()
    jsonschema.Draft202012Validator.check_schema(document)
    document.clear()
    assert schema.load()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_is_told_with_every_key_of_a_line():
    document = schema.load()
    assert set(document["properties"]) == set(envelope.Line.__struct_fields__)
    assert document["required"] == list(envelope.Line.__struct_fields__[: len(document["required"])])


def events() -> list[str]:
    return [json.loads(one)["event"] for file in LEDGER.glob("*.jsonl") for one in file.read_bytes().splitlines()]


@pytest.mark.parametrize("content", ["NO_CONTENT", "SPAN_AND_EVENT"])
def test_lines_of_calls_keep_it(content, monkeypatch):
    monkeypatch.setenv(CONTENT, content)
    with Provider() as provider, capture():
        drive(provider)
    assert lines.check_folder(LEDGER) == []
    assert events().count("span.ended") == 8
    assert ("gen_ai.client.inference.operation.details" in events()) is (content == "SPAN_AND_EVENT")


def drive(provider: Provider) -> None:
    """Calls that are answered, streamed, left, tried again and refused, with text that is hard to encode."""
    messages: list[Any] = [{"role": "user", "content": "\x1b[31m \u202e \x00 \U0001f600 \u00e9"}]
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=1) as client:
        chat = client.chat.completions
        provider.enqueue(openai_chat(tools=[Tool(), Tool("b\x1b[2J", "{}", "call_2")]))
        chat.create(model="gpt-5", messages=messages)
        provider.enqueue(openai_error(429, retry_after=0.01))
        with run("coder", task="t", tags={"a": "b"}, metadata={"deep": {"er": 1}}):
            chat.create(model="gpt-5\n", messages=messages)
        assert len(list(chat.create(model="gpt-5", messages=messages, stream=True))) > 1
        with chat.create(model="gpt-5", messages=messages, stream=True) as stream:
            next(stream)
        provider.enqueue(Reply(400, {"content-type": "application/json"}, b'{"error":{"message":"\xc3\xa9"}}'))
        with pytest.raises(openai.BadRequestError):
            client.responses.create(model="gpt-5", input="hi")
    with anthropic.Anthropic(base_url=provider.url, api_key="k") as client:
        client.messages.create(model="claude-sonnet-5", max_tokens=9, messages=messages)


def test_lines_of_other_peoples_spans_and_of_metrics_keep_it():
    with capture() as captured:
        tracer_provider = TracerProvider()
        tracer_provider.add_span_processor(SimpleSpanProcessor(EnvelopeSpanExporter()))
        tracer = tracer_provider.get_tracer("theirs", "1.2", schema_url="https://example.test/1")
        link = trace.Link(trace.SpanContext(3, 4, is_remote=True), {"a": 1})
        with tracer.start_as_current_span("outer", kind=trace.SpanKind.PRODUCER) as outer:
            outer.add_event("seen", {"words": ["a", "b"], "share": 0.5})
            with pytest.raises(ValueError, match="secret"), tracer.start_as_current_span("inner", links=[link]):
                raise ValueError("secret")
        reader = PeriodicExportingMetricReader(EnvelopeMetricExporter(), export_interval_millis=3_600_000)
        with Provider() as provider, openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k") as client:
            client.embeddings.create(model="m", input="x")
        meter_provider = MeterProvider([reader], shutdown_on_exit=False)
        meter = meter_provider.get_meter("theirs")
        meter.create_counter("count").add(1, {"a": "b"})
        meter.create_histogram("size").record(2.5)
        meter.create_gauge("level").set(-1)
        meter_provider.shutdown()
        tracer_provider.shutdown()
        assert captured.calls()
    assert lines.check_folder(LEDGER) == []
    assert {"resource", "span.ended", "metrics.snapshot"} <= set(events())


GOOD = call(2, at=(0, 10))


def changed(**keys: Any) -> dict[str, Any]:
    return {**GOOD, **keys}


def payload(**keys: Any) -> dict[str, Any]:
    return {**GOOD, "payload": {**GOOD["payload"], **keys}}


WRONG = {
    "version": changed(schema_version="2.0"),
    "timestamp": changed(timestamp="2026-11-21T08:00:00Z"),
    "two times": changed(timestamp="2026-11-21T08:00:00.011Z"),
    "cycle": changed(cycle=-1),
    "run": changed(run_id=""),
    "event": changed(event=""),
    "no payload": {key: value for key, value in GOOD.items() if key != "payload"},
    "no redacted fields": line("x", {}) | {"payload": {}},
    "tags": changed(tags=[1]),
    "trace of zeros": changed(trace_id="0" * 32),
    "other ids": changed(span_id="f" * 16),
    "no ids": {key: value for key, value in GOOD.items() if key != "span_id"},
    "sequence": changed(seq=0),
    "kind": payload(kind="client"),
    "status": payload(status={"code": "FINE"}),
    "parent": payload(parent_span_id="1"),
    "own parent": payload(parent_span_id=GOOD["span_id"]),
    "ends first": payload(start_time_unix_nano=GOOD["time_unix_nano"] + 1),
    "attributes": payload(attributes=[]),
    "resource": line("resource", {}),
    "metrics": line("metrics.snapshot", {"metrics": [{"name": "x", "points": [{"attributes": {}}]}]}),
    "no object": [],
}


def test_a_good_line_has_no_problem():
    assert lines.check_line(json.dumps(GOOD).encode()) == []


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_tells_what_is_wrong(wrong):
    (problem,) = lines.check_line(json.dumps(wrong).encode())
    assert problem


def test_tells_the_file_and_the_line(tmp_path):
    resource = line("resource", {"attributes": {}})
    write(tmp_path / "good.jsonl", [resource, root(1)])
    write(tmp_path / f"{RUN}.jsonl", [root(1), b"torn"])
    torn, first, second = lines.check_folder(tmp_path)
    assert torn == f"{RUN}.jsonl: the last line is torn"
    assert first == f"{RUN}.jsonl:1: the first line is not the resource"
    assert second.startswith(f"{RUN}.jsonl:2: no JSON: ")
    assert lines.check_folder(tmp_path / "nowhere") == []


def test_without_jsonschema_the_keys_are_still_checked(tmp_path):
    file = write(tmp_path / "x.jsonl", [line("resource", {"attributes": {}}), changed(cycle="1"), GOOD])
    code = (
        "import sys; sys.modules['jsonschema'] = None\n"
        "from pathlib import Path\n"
        "from otel_agent_instrumentation.testing import lines\n"
        f"print(*lines.check_file(Path({str(file)!r})), sep='\\n')"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "x.jsonl:2: Expected `int`, got `str`" in told
    assert "x.jsonl:3" not in told
