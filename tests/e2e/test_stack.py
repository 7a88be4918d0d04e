# SPDX-License-Identifier: Apache-2.0
"""The whole road on real parts: agents, the collector with the shipped gateway configuration, Prometheus.

In Jaeger's place is a receiver that keeps what it would get. Every panel is asked, and every alert is made to fire.
"""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from dashboards.__main__ import ALL
from dashboards.picture import picture
from otel_agent_instrumentation.testing.otlp_grpc import GrpcSink
from otel_agent_instrumentation.testing.otlp_sink import Fault
from otel_agent_instrumentation.testing.provider import (
    ClaudeTokens,
    Provider,
    Received,
    Reply,
    Tokens,
    Tool,
    anthropic_message,
    openai_chat,
    openai_chat_stream,
    openai_error,
)
from stack_parts import CONFIG, ROOT, TOKEN, Collector, Program, Prometheus, ended, free_ports, get, prices, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dashboards.model import Panel

AGENT = Path(__file__).parent / "agents" / "busy.py"
LAUNCHER = [str(Path(sys.executable).parent / "opentelemetry-instrument"), sys.executable]
pytestmark = pytest.mark.timeout(600)


def answer(received: Received) -> Reply:
    body = received.json()
    model = body["model"]
    if model == "down":
        return openai_error(500, message="out of order")
    if received.path.endswith("/messages"):
        return anthropic_message(tokens=ClaudeTokens(40, 9, cache_read=100, cache_creation=20), model=model)
    if body.get("stream"):
        return openai_chat_stream(5, tokens=Tokens(120, 40, cached=64, reasoning=16), model=model).but(
            delay_between=0.005
        )
    if model == "many-tools":
        return openai_chat(tools=[Tool(id=f"call_{n}") for n in range(2500)], model=model)
    tokens = Tokens(9_000_000, 900_000) if model == "dear" else Tokens(100, 30, cached=50, reasoning=10)
    return openai_chat(tokens=tokens, model=model)


@dataclass
class Stack:
    """All parts, and the agents that were started."""

    folder: Path
    provider: Provider
    jaeger: GrpcSink
    collector: Collector
    prometheus: Prometheus

    def agent(self, way: str, service: str, **settings: str) -> Program:
        program = Program(self.folder / f"{service}-{way}.log")
        environment = {
            **self.collector.for_agents,
            "OTEL_SERVICE_NAME": service,
            "OTEL_AGENT_SEMCONV": "dual",
            "OTEL_AGENT_LEDGER": "false",
            "OTEL_AGENT_PRICES": prices(self.folder),
            "PROVIDER": self.provider.url,
            "STOP": str(self.stop(way)),
            **settings,
        }
        program.launch([*LAUNCHER, str(AGENT), way], environment)
        return program

    def stop(self, way: str) -> Path:
        return self.folder / f"stop-{way}"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with GrpcSink() as jaeger, Provider(answer) as provider:
        collector = Collector(
            folder / "collector",
            "collector-gateway.yaml",
            JAEGER_OTLP=f"127.0.0.1:{jaeger.port}",
            PROMETHEUS_OTLP="set below",
            SPAN_METRICS_FLUSH="1s",
            ROOT_GRACE="1s",
            QUEUE_ITEMS=2048,
        )
        targets = {"otel-collector:8888": f"127.0.0.1:{collector.own_metrics}", "jaeger:8888": "127.0.0.1:9"}
        prometheus = Prometheus(folder / "prometheus", targets)
        collector.environment["PROMETHEUS_OTLP"] = f"{prometheus.url}/api/v1/otlp"
        with ended(collector, prometheus):
            prometheus.start()
            collector.start()
            yield Stack(folder, provider, jaeger, collector, prometheus)


def panels(*, trouble: bool) -> list[tuple[str, Panel, str]]:
    return [
        (f"{board.uid}: {panel.title}", panel, target.expr)
        for board in ALL
        for panel in board.panels
        if panel.trouble is trouble
        for target in panel.targets
    ]


def filled(expression: str) -> str:
    """What Grafana asks: with its variables replaced. An hour is more than this run has."""
    expression = re.sub(r"\$(service|environment|agent)\b", ".*", expression)
    expression = expression.replace("$__rate_interval", "15s").replace("$__range", "60s").replace("[1h]", "[60s]")
    assert "$" not in expression
    return expression


def finite(series: list[dict[str, Any]]) -> bool:
    """Whether there is data, and none of it is NaN or infinite."""
    return bool(series) and all(math.isfinite(float(one["value"][1])) for one in series)


def wait_for_panels(stack: Stack, agent: Program, *, trouble: bool) -> None:
    """Wait until each has shown finite data once, while ``agent`` is at work."""
    left = panels(trouble=trouble)

    def all_answered() -> bool:
        assert agent.alive(), agent.log.read_text()[-2000:]
        left[:] = [one for one in left if not finite(stack.prometheus.ask(filled(one[2])))]
        return not left

    try:
        until(all_answered, "every panel has data")
    except AssertionError:
        pytest.fail("no finite data:\n" + "\n".join(f"{title}\n    {filled(expr)}" for title, _, expr in left))


@pytest.fixture(scope="module")
def demo(stack: Stack) -> Iterator[Program]:
    """The demo as `make demo` runs it, sending to the collector; it ends by itself."""
    program = Program(stack.folder / "demo.log")
    settings = stack.collector.for_agents | {"OTEL_SERVICE_NAME": "demo", "OTEL_AGENT_SEMCONV": "dual"}
    settings["OTEL_AGENT_LEDGER_DIR"] = str(stack.folder / "ledger")
    with ended(program):
        program.launch([sys.executable, str(ROOT / "examples" / "demo.py")], settings)
        yield program


def test_every_panel_shows_data_of_runs_in_which_all_goes_well_and_leads_to_a_trace(
    stack: Stack, demo: Program
) -> None:
    agent = stack.agent("well", "busy")
    with ended(agent):
        wait_for_panels(stack, agent, trouble=False)
        # A point of a latency panel leads to its trace.
        asked = {"query": 'gen_ai_invoke_agent_duration_seconds_bucket{service_name="busy"}'}
        span = {"start": str(time.time() - 300), "end": str(time.time())}
        found = get(f"{stack.prometheus.url}/api/v1/query_exemplars", **asked, **span)["data"]
        (exemplar, *_) = [one for series in found for one in series["exemplars"]]
        assert set(exemplar["labels"]) == {"trace_id", "span_id"}
        # And the README's figure can be drawn.
        assert picture(stack.prometheus.url, ALL[0], 60).count("<polyline") > 10
        stack.stop("well").touch()
        assert agent.process is not None
        assert agent.process.wait(60) == 0


def test_jaeger_gets_the_demos_run_whole_and_its_genai_view_what_it_reads(stack: Stack, demo: Program) -> None:
    assert demo.process is not None
    assert demo.process.wait(60) == 0, demo.log.read_text()

    def spans(name: str) -> list[Any]:
        return [
            one for one in stack.jaeger.spans() if one.resource["service.name"] == "demo" and one.name.startswith(name)
        ]

    (root,) = until(lambda: spans("invoke_agent"), "the root of the demo's run")
    trace = [one for one in stack.jaeger.spans() if one.trace_id == root.trace_id]
    by_id = {one.span_id: one for one in trace}
    # One tree: every parent is there, also across the process boundary of MCP.
    assert [one.name for one in trace if one.parent_id not in by_id] == [root.name]
    served = [one for one in trace if one.kind == "server"]
    assert served
    for one in served:
        parent = by_id[one.parent_id or ""]
        assert (parent.name, parent.kind) == (one.name, "client")
        assert parent.resource["service.instance.id"] != one.resource["service.instance.id"]
    chats = [one for one in trace if one.attributes.get("gen_ai.operation.name") == "chat"]
    for one in chats:
        assert {
            "gen_ai.provider.name",
            "gen_ai.request.model",
            "gen_ai.response.model",
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens",
        } <= set(one.attributes)
        assert isinstance(one.attributes["gen_ai.usage.input_tokens"], int), "redaction left the count alone"
    every = {key for one in trace for key in one.attributes}
    assert {"gen_ai.agent.name", "gen_ai.tool.name", "gen_ai.tool.call.id"} <= every
    assert {"gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.reasoning.output_tokens"} <= every
    operations = {one.attributes.get("gen_ai.operation.name") for one in trace}
    assert {"chat", "execute_tool", "invoke_agent"} <= operations


ALERTS = {
    rule["alert"]
    for path in (CONFIG / "prometheus" / "rules").glob("*.yml")
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}


def test_every_alert_fires_in_the_run_that_is_made_to_fire_it(stack: Stack) -> None:
    """The clock of the rules runs sixty times faster: an hour is a minute."""
    fired: dict[str, dict[str, Any]] = {}

    def fires(*names: str) -> bool:
        fired.update({name: found[0] for name, found in stack.prometheus.alerts().items()})
        return set(names) <= set(fired)

    held = stack.agent("held", "held")
    lossy = stack.agent("well", "lossy", OTEL_BSP_MAX_QUEUE_SIZE="2", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="1")
    stack.stop("well").unlink(missing_ok=True)
    well = stack.agent("well", "busy")
    with ended(held, lossy, well):
        stack.jaeger.fail(Fault(status=503))
        until(lambda: stack.prometheus.ask('agent_runs_active{service_name="held"} > 0'), "the held run is seen")
        held.end(signal.SIGKILL)
        until(lambda: fires("AgentSilent", "AgentTelemetryLost"), "telemetry's alerts of agents")
        stack.stop("well").touch()
        assert well.process is not None
        assert well.process.wait(60) == 0
        trouble = stack.agent("trouble", "busy")
        with ended(trouble):
            until(lambda: fires("CollectorQueueFills"), "the collector's queue fills")
            stack.jaeger.fail(Fault(status=400))
            try:
                until(lambda: fires(*(ALERTS - {"CollectorDown"})), "every alert")
            except AssertionError:
                pytest.fail(f"did not fire: {sorted(ALERTS - set(fired))}; {trouble.log.read_text()[-1000:]}")
            wait_for_panels(stack, trouble, trouble=True)
            stack.stop("trouble").touch()
            assert trouble.process is not None
            assert trouble.process.wait(60) == 0
    stack.jaeger.fail(None)
    stack.collector.end(signal.SIGKILL)
    until(lambda: fires("CollectorDown"), "the collector is missed")
    stack.collector.start()
    for name, alert in fired.items():
        assert "<error" not in str(alert["annotations"]), name


def test_the_smoke_script_finds_its_run_and_says_what_is_missing(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "otlp_token").write_text(TOKEN)
    (tmp_path / "grafana_admin_password").write_text("none")
    (nobody,) = free_ports(1)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("OTEL_")},
        "SECRETS_DIR": str(tmp_path),
        "OTLP_HTTP_URL": f"http://127.0.0.1:{stack.collector.http}",
        "PROMETHEUS_URL": stack.prometheus.url,
        "GRAFANA_URL": f"http://127.0.0.1:{nobody}",
        "SMOKE_PATIENCE": "20",
    }

    def smoke(*what: str, **more: str) -> tuple[int, str]:
        command = [sys.executable, str(ROOT / "scripts" / "stack.py"), "smoke", *what]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment | more, cwd=tmp_path
        )
        return done.returncode, done.stdout + done.stderr

    code, said = smoke("prometheus")
    assert (code, "has its metrics" in said) == (0, True), said
    code, said = smoke("grafana", SMOKE_PATIENCE="1")
    assert (code, "its data source prometheus does not answer" in said) == (1, True), said
    (tmp_path / "otlp_token").write_text("wrong")
    code, said = smoke("prometheus")
    assert (code, "401" in said) == (1, True), said
