# SPDX-License-Identifier: Apache-2.0
"""The FastAPI router, as an application has it: with a token; what stands beside our own metrics."""

from __future__ import annotations

import base64
import inspect
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from clients import ASK, Scene
from otel_agent_instrumentation import run
from otel_agent_instrumentation.metrics import Counter, Gauge, Histogram, update_state_gauges
from otel_agent_instrumentation.metrics.router import metrics_router
from otel_agent_instrumentation.testing.capture import capture

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = {"Authorization": "Bearer right"}
DOCUMENT = """
from prometheus_client import Gauge, Counter

PFORGE_EFFICIENCY = Gauge("pforge_efficiency", "Global puzzle efficiency score (E)")
PFORGE_ENTROPY = Gauge("pforge_entropy", "System entropy score (H)")
PFORGE_AGENTS_ACTIVE = Gauge("pforge_agents_active", "Number of active agents", ["agent_type"])
PFORGE_TOKENS_USED_TOTAL = Counter("pforge_tokens_used_total", "Tokens used", ["vendor"])
"""


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    app.include_router(metrics_router("right"))
    return TestClient(app)


def test_the_documents_example_as_written(client: TestClient) -> None:
    """metrics-directory-plan, 2.2 and 2.3: names are kept, the right content type, behind authentication (C3, C5)."""
    collector: dict[str, Any] = {}
    exec(DOCUMENT, collector)
    collector["PFORGE_EFFICIENCY"].set(1.23)
    collector["PFORGE_AGENTS_ACTIVE"].labels("fixer").set(2)
    collector["PFORGE_TOKENS_USED_TOTAL"].labels(vendor="openai").inc(40)
    try:
        response = client.get("/metrics", headers=TOKEN)
    finally:
        for made in list(collector.values()):
            if not isinstance(made, type) and hasattr(made, "collect"):
                REGISTRY.unregister(made)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = response.text.splitlines()
    assert "pforge_efficiency 1.23" in lines
    assert 'pforge_agents_active{agent_type="fixer"} 2.0' in lines
    assert 'pforge_tokens_used_total{vendor="openai"} 40.0' in lines
    assert "# TYPE pforge_tokens_used_total counter" in lines


def test_the_same_names_with_our_own_classes_leave_by_otlp_as_well(client: TestClient) -> None:
    efficiency = Gauge("own_efficiency", "Global puzzle efficiency score (E)")
    tokens = Counter("own_tokens_used_total", "Tokens used", ["vendor"])
    duration = Histogram("own_tick_seconds", "A tick", buckets=(0.5, 1, float("inf")))
    efficiency.set(1.23)
    duration.observe(0.7)  # before there is anybody to take it
    with capture() as captured:
        tokens.labels("openai").inc(40)
        tokens.labels(vendor="openai").inc()
        update_state_gauges({"gaps": ["a", "b"], "efficiency": 0.5})
        lines = client.get("/metrics", headers=TOKEN).text.splitlines()
        assert [point.value for point in captured.points("own_efficiency")] == [1.23]
        assert [point.value for point in captured.points("own_tokens_used_total")] == [41]
        assert [point.sum for point in captured.points("own_tick_seconds")] == [0.7]
    assert "own_efficiency 1.23" in lines
    assert 'own_tokens_used_total{vendor="openai"} 41.0' in lines
    assert 'own_tick_seconds_bucket{le="1.0"} 1' in lines
    assert any(line.startswith("agent_gaps{") and line.endswith(" 2.0") for line in lines)
    assert any(line.startswith("agent_efficiency{") and line.endswith(" 0.5") for line in lines)


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", "Bearer righ", "Bearer rightx", "Basic right", "right", "Bearer rïght"],
)
def test_without_the_right_token_there_is_nothing(client: TestClient, authorization: str | None) -> None:
    headers = {} if authorization is None else {b"Authorization": authorization.encode()}
    response = client.get("/metrics", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert "target" not in response.text


def test_a_name_and_a_password_serve_as_well() -> None:
    app = FastAPI()
    app.include_router(metrics_router(basic="me:pä:ss", path="/m"))
    client = TestClient(app)
    told = base64.b64encode("me:pä:ss".encode()).decode()
    assert client.get("/m", headers={"Authorization": f"Basic {told}"}).status_code == 200
    for wrong in (f"Basic {told[:-4]}", "Basic %%", "Bearer me:pass", f"Bearer {told}"):
        assert client.get("/m", headers={"Authorization": wrong}).status_code == 401


def test_it_refuses_to_be_made_without_a_token() -> None:
    with pytest.raises(ValueError, match="OTEL_AGENT_METRICS_TOKEN"):
        metrics_router()
    app = FastAPI()
    app.include_router(metrics_router(allow_anonymous=True))
    assert TestClient(app).get("/metrics").status_code == 200


def test_openmetrics_has_the_exemplar_of_a_call(client: TestClient) -> None:
    with Scene() as scene, capture() as captured:
        with run("coder"):
            scene.openai.chat.completions.create(**ASK)
        response = client.get("/metrics", headers={**TOKEN, "Accept": "application/openmetrics-text;version=1.0.0"})
        (call,) = captured.calls()
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in parse_openmetrics(response.text)}
    family = families["gen_ai_client_operation_duration_seconds"]
    exemplars = [sample.exemplar.labels for sample in family.samples if sample.exemplar]
    assert call.context is not None
    assert exemplars == [{"trace_id": f"{call.context.trace_id:032x}", "span_id": f"{call.context.span_id:016x}"}]
    assert {"agent_runs", "agent_runs_active", "agent_actions", "process_memory_usage_bytes"} <= set(families)


def test_it_is_packed_for_who_takes_that(client: TestClient) -> None:
    plain = client.get("/metrics", headers={**TOKEN, "Accept-Encoding": "identity"})
    packed = client.get("/metrics", headers={**TOKEN, "Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert "process_open_fds" in packed.text


def test_fifty_scrapes_at_once_are_each_complete_and_right(client: TestClient) -> None:
    with Scene() as scene, capture():
        for _ in range(3):
            scene.openai.chat.completions.create(**ASK)
        with ThreadPoolExecutor(50) as pool:
            texts = list(pool.map(lambda _: client.get("/metrics", headers=TOKEN), range(50)))
    for response in texts:
        assert response.status_code == 200
        counts = [line for line in response.text.splitlines() if "operation_duration_seconds_count{" in line]
        assert len(counts) == 1
        assert counts[0].endswith(" 3")
        assert response.text.count("agent_runs_active") == 3


@pytest.mark.faults
def test_a_collector_of_somebodys_that_raises_breaks_nothing(client: TestClient) -> None:
    class Broken:
        def describe(self) -> list[Any]:
            return []

        def collect(self) -> Iterator[Any]:
            raise RuntimeError

    broken: Any = Broken()
    REGISTRY.register(broken)
    try:
        with capture():
            response = client.get("/metrics", headers=TOKEN)
    finally:
        REGISTRY.unregister(broken)
    assert response.status_code == 200
    assert "agent_faults_total 0" in response.text


@pytest.mark.logs
def test_a_metric_has_at_most_a_thousand_sets_of_labels() -> None:
    counter = Counter("own_wild_total", "Wild", ["name"])
    with capture() as captured:
        for number in range(1100):
            counter.labels(f"n{number}").inc()
        counter.labels("x" * 500).inc()
        points = {point.attributes["name"]: point.value for point in captured.points("own_wild_total")}
    assert len(points) == 1001
    assert points["other"] == 101
    assert sum(points.values()) == 1101


@pytest.mark.logs
@pytest.mark.parametrize(
    "define",
    [
        lambda: Gauge("own_clash", "g", ["b"]),
        lambda: Counter("own_clash", "c"),
        lambda: Gauge("7 wonders", "g"),
        lambda: Counter("agent.cycles", "a name of the catalogue"),
    ],
)
def test_a_definition_that_cannot_be_is_one_warning_and_harms_nobody(
    define: Any, caplog: pytest.LogCaptureFixture
) -> None:
    Gauge("own_clash", "g", ["a"]).labels("x").set(1)
    made = define()
    made.inc()
    made.labels("x", "y").inc()
    assert sum("is left out" in record.getMessage() for record in caplog.records) == 1


def test_async_applications_are_not_held_up(client: TestClient) -> None:
    """The handler is a plain function, which FastAPI runs on a thread."""
    route: Any = next(one for one in metrics_router("t").routes if getattr(one, "path", "") == "/metrics")
    assert not inspect.iscoroutinefunction(route.endpoint)
