# SPDX-License-Identifier: Apache-2.0
"""What start-up leaves for the first client or the first `run()`: not imported before, whole after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_instrumentation.testing.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

LAUNCHER = str(Path(sys.executable).parent / "opentelemetry-instrument")
HEAD = """
    import json, os, sys, threading, time
    OURS = "otel_agent_instrumentation."
    URL, told = os.environ["PROVIDER"], {}
    ASK = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    def ask_openai():
        import openai
        openai.OpenAI(base_url=URL + "/v1", api_key="k").chat.completions.create(**ASK)
    def ask_anthropic():
        import anthropic
        anthropic.Anthropic(base_url=URL, api_key="k").messages.create(max_tokens=9, **ASK)
    def name_a_run():
        import otel_agent_instrumentation as ours
        with ours.run("named"):
            pass
    def is_ready():
        from otel_agent_instrumentation.bootstrap import install
        return install.state.tracker is not None
"""
# The first use takes a while, so that what happens meanwhile does happen meanwhile.
SLOWLY = """
    from otel_agent_instrumentation.bootstrap import install
    make, started = install.state.observe, threading.Event()
    def slowly():
        started.set()
        time.sleep(0.5)  # seconds: less than a fork waits
        make()
    install.state.observe = slowly
"""


@pytest.fixture
def url() -> Iterator[str]:
    with Provider() as provider:
        yield provider.url


def agent(script: str, folder: Path, url: str = "", **environment: str) -> dict[str, Any]:
    """Run a script under the launcher; it fills `told`. ``spans``: those of its ledger, by name."""
    code = "\n".join(textwrap.dedent(part) for part in (HEAD, script, "print(json.dumps(told))"))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    done = subprocess.run(
        [LAUNCHER, sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={**kept, "PROVIDER": url, "OTEL_AGENT_SUMMARY": "false", **environment},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    lines = [json.loads(line) for file in folder.glob("logs/telemetry/*") for line in file.read_text().splitlines()]
    spans = sorted(line["payload"]["name"] for line in lines if line["event"] == "span.ended")
    return {**json.loads(done.stdout), "spans": spans}


IMPORTED = """
    told["imported"] = sorted(name.removeprefix(OURS) for name in sys.modules if name.startswith(OURS))
    told["others"] = sorted({"msgspec", "grpc", "requests", "tomllib", "decimal"} & set(sys.modules))
"""


def test_a_process_that_makes_no_call_imports_no_engine(tmp_path):
    told = agent(IMPORTED, tmp_path)
    assert "bootstrap.install" in told["imported"]
    late = ("core.engine", "core.spec", "core.streams", "signals", "pipeline.otlp", "ledger.writer", "integrations.op")
    assert [name for name in told["imported"] if name.startswith(late)] == []
    assert told["others"] == []


def test_a_process_that_is_switched_off_imports_the_bootstrap_alone(tmp_path):
    told = agent(IMPORTED, tmp_path, OTEL_SDK_DISABLED="true")
    assert told["imported"] == ["bootstrap", "config", "core", "core.contain", "options", "semconv"]


def test_a_bad_setting_is_told_even_where_all_is_switched_off(tmp_path):
    with pytest.raises(AssertionError, match="OTEL_AGENT_RUN_IDLE: expected a number"):
        agent("", tmp_path, OTEL_SDK_DISABLED="true", OTEL_AGENT_RUN_IDLE="-1")


@pytest.mark.parametrize(
    ("first", "spans"),
    [
        ("ask_openai()", ["chat m", "invoke_agent agent"]),
        ("name_a_run()", ["invoke_agent named"]),
        ("name_a_run(); ask_openai()", ["chat m", "invoke_agent agent", "invoke_agent named"]),
        # At the very end: the client is imported by a function that runs before our own flush.
        ("import atexit; atexit.register(ask_openai)", ["chat m", "invoke_agent agent"]),
        ("import atexit; atexit.register(name_a_run)", ["invoke_agent named"]),
    ],
)
def test_the_first_use_is_told(first, spans, tmp_path, url):
    assert agent(first, tmp_path, url)["spans"] == spans


@pytest.mark.parametrize("pace", ["", SLOWLY.replace("0.5", "3")])  # longer than the import of both clients
def test_uses_that_come_first_together_are_all_told(pace, tmp_path, url):
    script = """
        barrier = threading.Barrier(9)
        def one(use):
            barrier.wait()
            use()
        threads = [threading.Thread(target=one, args=[use]) for use in (ask_openai, ask_anthropic, name_a_run) * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    """
    told = agent(textwrap.dedent(pace) + textwrap.dedent(script), tmp_path, url)
    assert told["spans"] == sorted(["chat m"] * 6 + ["invoke_agent agent"] * 6 + ["invoke_agent named"] * 3)


IN_CHILD = """
    pid = os.fork()
    if pid == 0:
        try:
            ask_anthropic()
        finally:
            from otel_agent_instrumentation import flush
            flush(5)
            os._exit(0 if is_ready() else 7)
    told["child"] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_was_forked_before_the_first_use_has_its_own(tmp_path, url):
    told = agent(IN_CHILD, tmp_path, url)
    assert told["child"] == 0
    assert told["spans"].count("chat m") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("first", ["import openai", "name_a_run()"])
def test_a_fork_in_the_middle_of_the_first_use_waits_for_it(first, tmp_path, url):
    begin = f"""
        def begin():
            {first}
        first = threading.Thread(target=begin)
        first.start()
        started.wait()
    """
    script = "\n".join(textwrap.dedent(part) for part in (SLOWLY, begin, IN_CHILD, "first.join()"))
    told = agent(script, tmp_path, url)
    assert told["child"] == 0
    assert told["spans"].count("chat m") == 1


def test_losses_are_counted_where_no_call_was_ever_made(tmp_path):
    script = """
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from otel_agent_instrumentation.pipeline.accounts import Accounts
        books, reader = Accounts("spans", "elsewhere"), InMemoryMetricReader()
        metrics.get_meter_provider().add_metric_reader(reader)
        books.drop("queue_full")
        told["lost"] = [
            (metric.name, point.value)
            for resource in reader.get_metrics_data().resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
            if metric.name == "agent.telemetry.dropped" and point.value
        ]
        told["engine"] = OURS + "core.engine" in sys.modules
    """
    told = agent(script, tmp_path)
    assert told["lost"] == [["agent.telemetry.dropped", 1]]
    assert told["engine"] is False
