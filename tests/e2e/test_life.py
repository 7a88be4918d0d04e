# SPDX-License-Identifier: Apache-2.0
"""Life and death: whatever way an agent ends, its spans arrive, once, and the end is not held up."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import launched
from launched import AGENTS

from otel_agent_instrumentation.testing.otlp_sink import Fault, OtlpSink
from otel_agent_instrumentation.testing.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLS = 3


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with Provider() as running:
        yield running.url


def chats(sink: OtlpSink) -> int:
    ids = Counter(span.span_id for span in sink.spans("chat gpt-5"))
    assert set(ids.values()) <= {1}, "a span was delivered twice"
    return len(ids)


@pytest.mark.parametrize(
    ("way", "code", "calls"),
    [
        ("normal", 0, CALLS),
        ("exit", 3, CALLS),
        ("raise", 1, CALLS),
        ("SIGINT", -signal.SIGINT, CALLS),
        ("SIGTERM", -signal.SIGTERM, CALLS),
        ("own-handler", 7, CALLS),
        ("fork", 0, CALLS + 1),
        ("spawn", 0, CALLS + 1),
        ("forkserver", 0, CALLS + 1),
        ("pool", 0, CALLS + 4),
        ("python-agent", 0, 2 * CALLS),
    ],
)
def test_all_spans_arrive(tmp_path, provider, way, code, calls):
    with OtlpSink() as sink:
        ended = launched.agent(tmp_path, way, provider, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        assert ended.code in {code, 130 if way == "SIGINT" else code}, ended.stderr
        sink.wait_for(lambda sink: chats(sink) >= calls)
        assert chats(sink) == calls, ended.stderr
        told = Counter(line.payload["name"] for line in launched.lines(tmp_path) if line.event == "span.ended")
        assert told["chat gpt-5"] == calls, "the ledger is a record of the same calls"
        assert ended.stderr.count("otel-agent:") == 1, ended.stderr


@pytest.mark.parametrize("trouble", ["refused", "blackhole", "unavailable", "no such host"])
def test_a_dead_collector_costs_two_seconds_at_most_and_the_loss_is_said(tmp_path, provider, trouble):
    with OtlpSink() as sink:
        url = sink.url
        if trouble == "refused":
            sink.refuse()
        elif trouble == "no such host":
            url = "http://collector.invalid:4318"
        else:
            sink.fail(Fault(blackhole=True) if trouble == "blackhole" else Fault(status=503))
        without = launched.agent(tmp_path / "without", "normal", provider)
        ended = launched.agent(tmp_path / "with", "normal", provider, OTEL_EXPORTER_OTLP_ENDPOINT=url)
    assert ended.code == 0
    # Two seconds for all signals together; one more for a machine that is busy with other things.
    assert ended.seconds < without.seconds + 3.0
    last = ended.stderr.strip().splitlines()[-1]
    # 3 calls and the root of their run.
    assert f"{CALLS + 1} spans: 0 exported to otlp" in last, ended.stderr
    assert f"{CALLS + 1} dropped" in last or f"{CALLS + 1} unknown" in last, ended.stderr
    assert sum(line.event == "span.ended" for line in launched.lines(tmp_path / "with")) == CALLS + 1


def test_nothing_configured_writes_the_ledger_and_one_line(tmp_path, provider):
    ended = launched.agent(tmp_path, "normal", provider)
    (file,) = (tmp_path / "logs" / "telemetry").iterdir()
    assert ended.stderr.splitlines() == [ended.stderr.strip()], "one line"
    assert f"logs/telemetry/{file.name}" in ended.stderr
    assert ended.stdout == "answered\n", "stdout is the agent's"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_the_agent_is_one_tree(tmp_path, provider):
    launched.agent(tmp_path, "normal", provider)
    spans = [line.payload for line in launched.lines(tmp_path) if line.event == "span.ended"]
    (root,) = [span for span in spans if span["parent_span_id"] is None]
    assert root["name"] == "invoke_agent way"
    assert {span["trace_id"] for span in spans} == {root["trace_id"]}
    assert {span["parent_span_id"] for span in spans if span is not root} == {root["span_id"]}


def test_a_python_child_starts_clean(tmp_path, provider):
    ended = launched.agent(tmp_path, "python", provider)
    assert ended.stdout.splitlines()[1] == repr(("clean\n", ""))
    assert len(list((tmp_path / "logs" / "telemetry").iterdir())) == 1


def test_disabled_is_nothing_at_all(tmp_path, provider):
    script = tmp_path / "look.py"
    script.write_text(
        "import sys, threading, runpy\n"
        f"sys.argv = ['way.py', 'normal']; runpy.run_path({str(AGENTS / 'way.py')!r}, run_name='__main__')\n"
        "import openai\n"
        "print(threading.active_count(), type(openai.OpenAI.request).__name__)\n"
    )
    ended = launched.run(tmp_path, str(script), PROVIDER=provider, OTEL_SDK_DISABLED="true")
    assert ended.code == 0, ended.stderr
    assert ended.stdout.splitlines()[1] == "1 function"
    assert ended.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["look.py"]


def test_a_collector_that_comes_back_loses_nothing(tmp_path, provider):
    script = tmp_path / "long.py"
    script.write_text(
        "import sys, time, runpy\n"
        f"way = runpy.run_path({str(AGENTS / 'way.py')!r})\n"
        "way['call'](); print('answered', flush=True); sys.stdin.readline()\n"
        "way['call']()\n"
    )
    with OtlpSink() as sink:
        sink.refuse()
        settings = {"PROVIDER": provider, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        process = subprocess.Popen(
            [launched.LAUNCHER, sys.executable, str(script)],
            cwd=tmp_path,
            env=launched.environment(**settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "answered\n"
        time.sleep(1.5)
        sink.come_back()
        _, errors = process.communicate("go\n", timeout=60)
        assert process.returncode == 0
        assert chats(sink) == 2, errors


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _get(port: int) -> bytes:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                return answer.read()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("server", "arguments"),
    [
        ("gunicorn", ["--preload", "--workers", "2", "--bind", "127.0.0.1:{port}", "web:wsgi"]),
        ("uvicorn", ["--workers", "2", "--port", "{port}", "web:asgi"]),
    ],
)
def test_servers_with_workers_deliver_every_span(tmp_path, provider, server, arguments):
    port, requests = _free_port(), 8
    with OtlpSink() as sink:
        command = ["-m", server, *(argument.format(port=port) for argument in arguments)]
        settings = {"PROVIDER": provider, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "PYTHONPATH": str(AGENTS)}
        process = launched.start(tmp_path, *command, **settings)
        try:
            # Several at once: one worker alone could take them all one after the other, and that would be one run.
            with ThreadPoolExecutor(4) as pool:
                assert set(pool.map(_get, [port] * requests)) == {b"chatcmpl-1"}
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=30)
        sink.wait_for(lambda sink: chats(sink) >= requests)
        assert chats(sink) == requests, errors
        assert len({span.trace_id for span in sink.spans("chat gpt-5")}) > 1, "requests are runs of their own"
        assert (tmp_path / "logs").is_dir()


def test_a_forked_child_tells_its_own_tokens_and_not_its_parents_again(tmp_path, provider):
    with OtlpSink() as sink:
        ended = launched.agent(tmp_path, "fork", provider, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        assert ended.code == 0, ended.stderr
        series = sink.points("gen_ai.client.token.usage")
        assert sum(point.count or 0 for point in series) == 2 * (CALLS + 1), "input and output of each call, once"


@pytest.mark.parametrize("alive", [True, False], ids=["alive", "dead"])
def test_the_books_are_closed_in_the_ledger(tmp_path, provider, alive):
    with OtlpSink() as sink:
        if not alive:
            sink.refuse()
        launched.agent(tmp_path, "normal", provider, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    last = launched.lines(tmp_path)[-1]
    assert last.event == "agent.pipeline_closed"
    books = {item["signal"]: item for item in last.payload["pipelines"]}
    assert books["spans"]["emitted"] == CALLS + 1
    for item in books.values():
        lost = sum(item["dropped"].values()) + item["unknown"]
        assert item["emitted"] == item["exported"] + lost
        assert (lost == 0) is alive
