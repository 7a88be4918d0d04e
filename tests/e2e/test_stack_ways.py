# SPDX-License-Identifier: Apache-2.0
"""What the collector keeps, hides and survives: tail sampling, the second line of redaction, and a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from otel_agent_instrumentation.testing.otlp_grpc import GrpcSink
from otel_agent_instrumentation.testing.otlp_sink import OtlpSink
from otel_agent_instrumentation.testing.provider import Provider, Received, Reply, Tokens, openai_chat, openai_error
from stack_outage import outage
from stack_parts import TOKEN, Collector, ended, prices, until

if TYPE_CHECKING:
    from collections.abc import Iterator

AGENT = Path(__file__).parent / "agents" / "sampled.py"
LAUNCHER = [str(Path(sys.executable).parent / "opentelemetry-instrument"), sys.executable]
pytestmark = pytest.mark.timeout(300)


def answer(received: Received) -> Reply:
    model = received.json()["model"]
    if model == "down":
        return openai_error(500, message="out of order")
    tokens = {"dear": Tokens(9_000_000, 900_000), "not cheap": Tokens(30_000, 10_000)}
    return openai_chat(tokens=tokens.get(model, Tokens(100, 30)), model=model)


@pytest.fixture(scope="module")
def jaeger() -> Iterator[GrpcSink]:
    with GrpcSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def metrics() -> Iterator[OtlpSink]:
    with OtlpSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, jaeger: GrpcSink, metrics: OtlpSink) -> Iterator[list[Collector]]:
    """The agent's collector and, behind it, the gateway, which keeps nothing that it need not."""
    folder = tmp_path_factory.mktemp("chain")
    gateway = Collector(
        folder / "gateway",
        "collector-gateway.yaml",
        JAEGER_OTLP=f"127.0.0.1:{jaeger.port}",
        PROMETHEUS_OTLP=metrics.url,
        ROOT_GRACE="3s",
        SLOW_RUN_MS=3000,
        TRACES_KEEP_PERCENT=0,
        SPAN_METRICS_FLUSH="1s",
    )
    beside = Collector(folder / "agent", "collector-agent.yaml", GATEWAY_OTLP=f"http://127.0.0.1:{gateway.http}")
    with ended(gateway, beside):
        yield [beside.start(), gateway.start()]


def post(collector: Collector, request: Any, token: str = TOKEN) -> int:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-protobuf"}
    url = f"http://127.0.0.1:{collector.http}/v1/traces"
    sent = urllib.request.Request(url, data=request.SerializeToString(), headers=headers)
    try:
        with urllib.request.urlopen(sent, timeout=10) as response:  # noqa: S310 - our own
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module")
def made(chain: list[Collector], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[str]], Path]:
    """The traces of each kind of run that an agent made, and the folder with its ledger."""
    folder = tmp_path_factory.mktemp("sampled")
    with Provider(answer) as provider:
        done = subprocess.run(
            [*LAUNCHER, AGENT],
            check=True,
            cwd=folder,
            env={key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
            | chain[0].for_agents
            | {"PROVIDER": provider.url, "OTEL_AGENT_LEDGER": "true", "OTEL_AGENT_PRICES": prices(folder)},
            stdout=subprocess.PIPE,
        )
    return json.loads(done.stdout), folder


def test_failed_slow_and_expensive_runs_are_kept_whole_and_no_others(
    made: tuple[dict[str, list[str]], Path], jaeger: GrpcSink
) -> None:
    runs, folder = made
    lines = [
        json.loads(line) for file in folder.glob("logs/telemetry/*.jsonl") for line in file.read_text().splitlines()
    ]
    written = {(one["trace_id"], one["span_id"]) for one in lines if one["event"] == "span.ended"}
    kept = {trace for kind, traces in runs.items() if kind != "well" for trace in traces}
    wanted = {one for one in written if one[0] in kept}
    assert len(wanted) >= 2 * len(kept)
    until(
        lambda: {(one.trace_id, one.span_id) for one in jaeger.spans()} >= wanted,
        "every span of the runs that count",
        60,
    )
    assert {one.trace_id for one in jaeger.spans()} == kept


def test_the_second_line_hides_what_a_sender_without_a_first_one_tells(
    chain: list[Collector], jaeger: GrpcSink
) -> None:
    jaeger.clear()
    secret, mail = "sk-" + "a1B2" * 8, "someone@example.com"
    request = ExportTraceServiceRequest()
    span = (
        request.resource_spans.add()
        .scope_spans.add()
        .spans.add(trace_id=b"1" * 16, span_id=b"2" * 8, name="chat", start_time_unix_nano=1, end_time_unix_nano=2)
    )
    span.status.code = Status.STATUS_CODE_ERROR
    span.status.message = f"refused: Bearer {'x' * 24}"
    span.events.add(name="exception").attributes.append(
        KeyValue(key="exception.message", value=AnyValue(string_value=mail))
    )
    arguments = ArrayValue(values=[AnyValue(string_value="curl"), AnyValue(string_value=secret)])
    for key, value in {
        "gen_ai.usage.input_tokens": AnyValue(int_value=4111),
        "gen_ai.token.type": AnyValue(string_value="input"),
        "process.command_args": AnyValue(array_value=arguments),
        "http.request.header.authorization": AnyValue(string_value="hunter2"),
        "note": AnyValue(string_value=f"card 4111 1111 1111 1111 of {mail}"),
        "agent.started": AnyValue(int_value=1_760_000_000_123_456_789),
    }.items():
        span.attributes.append(KeyValue(key=key, value=value))
    assert post(chain[1], request, token="wrong") == 401
    assert post(chain[1], request) == 200
    (found,) = until(lambda: jaeger.spans("chat"), "the span", 60)
    told = repr(found)
    for one in (secret, mail, "hunter2", "4111 1111", "x" * 24):
        assert one not in told
    assert found.attributes["gen_ai.usage.input_tokens"] == 4111
    assert found.attributes["gen_ai.token.type"] == "input"
    assert found.attributes["agent.started"] == 1_760_000_000_123_456_789
    assert found.attributes["redaction.masked.count"] == 3


def test_rates_are_those_of_all_runs_not_of_the_kept(
    made: tuple[dict[str, list[str]], Path], metrics: OtlpSink
) -> None:
    runs = sum(map(len, made[0].values()))

    def counted() -> float:
        calls = metrics.metrics().get("traces.span.metrics.calls", [])
        return sum(one.value or 0 for one in calls if one.attributes.get("gen_ai.operation.name") == "invoke_agent")

    assert until(lambda: counted() >= runs and counted(), "the connector's metrics", 60) == runs


def test_a_killed_collector_costs_no_span_that_it_had_not_taken(tmp_path: Path) -> None:
    books = outage(tmp_path, calls=400, pace=0.03, before=4, down=5)
    assert books.ended == 440  # ten calls and their run
    assert books.lost_after_kill == 0, books
    assert books.received + books.dropped + books.lost_before_kill == books.ended, books
    # The call does not wait for telemetry: not even for as long as a connection that is refused takes.
    assert books.median_down < books.median_up + 1, books
