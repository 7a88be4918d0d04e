# SPDX-License-Identifier: Apache-2.0
"""What Prometheus reads, read back by prometheus_client's own parsers: both formats, whatever was measured."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import set_span_in_context
from prometheus_client import REGISTRY, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from otel_agent_instrumentation.metrics.names import prometheus_name
from otel_agent_instrumentation.metrics.prometheus import PrometheusReader

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "sk-proj-T3Bl" + "bkFJx9Qe7LmN4vRz81KsWp20YtHc"
pytestmark = pytest.mark.matrix


class Scraped:
    """A provider with our reader."""

    def __init__(self, views: Any = (), resource: dict[str, Any] | None = None) -> None:
        self.reader = PrometheusReader()
        self.provider = MeterProvider(
            [self.reader], Resource(resource or {"service.name": "coder"}), views=views, shutdown_on_exit=False
        )
        self.meter = self.provider.get_meter("test")

    def families(self, *, openmetrics: bool = False) -> dict[str, Any]:
        text = self.reader.text(openmetrics=openmetrics).decode()
        found = (parse_openmetrics if openmetrics else parse_plain)(text)
        return {family.name: family for family in found}

    def samples(self, *, openmetrics: bool = False) -> dict[str, float]:
        """By name and labels, as a line has them."""
        return {
            f"{sample.name}{sorted(sample.labels.items())}": sample.value
            for family in self.families(openmetrics=openmetrics).values()
            for sample in family.samples
            if not sample.name.startswith(("python_", "process_"))  # of prometheus_client's default registry
        }


@pytest.fixture
def scraped() -> Iterator[Scraped]:
    made = Scraped()
    yield made
    made.provider.shutdown()


@pytest.mark.parametrize("openmetrics", [False, True])
def test_every_kind_is_read_as_it_was_measured(scraped, openmetrics):
    meter = scraped.meter
    meter.create_counter("agent.cost.usd", unit="{USD}").add(0.25, {"gen_ai.agent.name": 'a"b\\c\nd', "ok": True})
    meter.create_up_down_counter("agent.runs.active", unit="{run}").add(-2)
    meter.create_gauge("pforge_efficiency").set(1.23)
    meter.create_observable_counter("pforge_tokens_used_total", [lambda _: []], unit="")
    meter.create_observable_gauge("ratio", [lambda _: iter([_observation(0.5)])], unit="1")
    histogram = meter.create_histogram("agent.latency", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1])
    for value in (0.05, 0.1, 0.7, 9):
        histogram.record(value)
    told = scraped.samples(openmetrics=openmetrics)
    labels = [("gen_ai_agent_name", 'a"b\\c\nd'), ("ok", "true")]
    assert told.pop(f"target_info{[('service_name', 'coder')]}") == 1
    assert told == {
        f"agent_cost_usd_total{labels}": 0.25,
        "agent_runs_active[]": -2,
        "pforge_efficiency[]": 1.23,
        "ratio[]": 0.5,
        "agent_latency_seconds_bucket[('le', '0.1')]": 2,
        "agent_latency_seconds_bucket[('le', '1.0')]": 3,
        "agent_latency_seconds_bucket[('le', '+Inf')]": 4,
        "agent_latency_seconds_count[]": 4,
        "agent_latency_seconds_sum[]": pytest.approx(9.85),
    }
    kinds = {name: family.type for name, family in scraped.families(openmetrics=openmetrics).items()}
    assert kinds["agent_runs_active"] == "gauge"
    assert kinds["agent_cost_usd"] == "counter"
    assert kinds["agent_latency_seconds"] == "histogram"


def _observation(value: float) -> Any:
    from opentelemetry.metrics import Observation

    return Observation(value)


def test_exemplars_lead_to_the_span_in_openmetrics_alone(scraped):
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("s")
    context, ids = set_span_in_context(span), span.get_span_context()
    scraped.meter.create_histogram("h", explicit_bucket_boundaries_advisory=[1, 2]).record(1.5, context=context)
    scraped.meter.create_counter("c").add(1, {"x": "y"}, context=context)
    family = scraped.families(openmetrics=True)
    expected = {"trace_id": f"{ids.trace_id:032x}", "span_id": f"{ids.span_id:016x}"}
    (bucket,) = [sample for sample in family["h"].samples if sample.exemplar]
    assert (bucket.labels["le"], bucket.exemplar.labels, bucket.exemplar.value) == ("2.0", expected, 1.5)
    (total,) = family["c"].samples
    assert total.exemplar.labels == expected
    assert b"trace_id" not in scraped.reader.text()


def test_an_exponential_histogram_is_served_and_breaks_nothing():
    scraped = Scraped([View(instrument_name="h", aggregation=ExponentialBucketHistogramAggregation())])
    histogram = scraped.meter.create_histogram("h")
    scraped.meter.create_counter("beside").add(1)
    for value in (0, 0.3, 0.3, 1.5, 3, 1000):
        histogram.record(value)
    for openmetrics in (False, True):
        told = scraped.families(openmetrics=openmetrics)
        assert told["beside"].samples[0].value == 1
        buckets = {float(s.labels["le"]): s.value for s in told["h"].samples if s.name == "h_bucket"}
        # Each value is below the first edge that is not smaller.
        assert buckets[0] == 1
        assert buckets[0.5] == 3
        assert buckets[2] == 4
        assert buckets[4] == 5
        assert buckets[1024] == buckets[float("inf")] == 6
        assert [s.value for s in told["h"].samples if s.name == "h_count"] == [6]
    scraped.provider.shutdown()


@pytest.mark.logs
def test_two_scopes_with_the_same_series_do_not_break_the_scrape(scraped, caplog):
    scraped.meter.create_counter("c").add(1, {"a": "1"})
    scraped.provider.get_meter("other").create_counter("c").add(2, {"a": "1"})
    scraped.provider.get_meter("other").create_counter("c").add(3, {"a": "2"})
    scraped.provider.get_meter("third").create_gauge("c.total").set(4)
    told = scraped.samples()
    assert (told["c_total[('a', '1')]"], told["c_total[('a', '2')]"]) == (1, 3)
    assert "measured twice" in caplog.text


def test_the_target_is_redacted():
    scraped = Scraped(resource={"service.name": "coder", "api_key": SECRET, "note": f"use {SECRET}"})
    scraped.meter.create_counter("c").add(1, {"note": f"use {SECRET}"})
    assert SECRET.encode() not in scraped.reader.text() + scraped.reader.text(openmetrics=True)
    assert b'service_name="coder"' in scraped.reader.text()
    scraped.provider.shutdown()


def test_what_a_program_has_in_the_default_registry_is_redacted(scraped):
    counter = Counter("foreign_asked", f"Asked with {SECRET}.", ["note", "api_key"])
    counter.labels(f"use {SECRET}", "hunter2").inc(exemplar={"user": f"u {SECRET}", "password": "hunter2"})
    try:
        told, plain = scraped.families(openmetrics=True)["foreign_asked"], scraped.families()["foreign_asked"]
    finally:
        REGISTRY.unregister(counter)
    (sample,) = told.samples
    assert (told.documentation, plain.documentation) == ("Asked with REDACTED.",) * 2
    assert sample.labels == plain.samples[0].labels == {"note": "use REDACTED", "api_key": "REDACTED"}
    assert sample.exemplar.labels == {"user": "u REDACTED", "password": "REDACTED"}


def test_scrapes_at_once_are_each_complete(scraped):
    """Of the stock exporter two at once take each other's metrics."""
    counters = [scraped.meter.create_counter(f"c{number}") for number in range(50)]
    for counter in counters:
        counter.add(1, {"x": "y"})
    scraped.meter.create_observable_counter("observed", [lambda _: [_observation(7)]])
    texts: list[bytes] = []
    barrier = threading.Barrier(50)

    def scrape() -> None:
        barrier.wait()
        texts.extend(scraped.reader.text().partition(b"# HELP python_")[0] for _ in range(4))

    threads = [threading.Thread(target=scrape) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 200
    assert len(set(texts)) == 1
    assert texts[0].count(b"_total") == 51 * 3


def test_a_scrape_tells_what_was_recorded_before_it_was_asked_for(scraped):
    counter = scraped.meter.create_counter("c")
    for number in range(1, 20):
        counter.add(1)
        assert f"c_total {number}\n".encode() in scraped.reader.text()


def test_it_is_cumulative_whatever_the_environment_prefers(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    assert set(PrometheusReader()._instrument_class_temporality.values()) == {AggregationTemporality.CUMULATIVE}


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected"),
    [
        # As prometheus/otlptranslator 1.0.0 has them.
        ("gen_ai.client.operation.duration", "s", "", "gen_ai_client_operation_duration_seconds"),
        ("gen_ai.client.token.usage", "{token}", "", "gen_ai_client_token_usage"),
        (
            "gen_ai.client.inference.usage.input_tokens",
            "{token}",
            "counter",
            "gen_ai_client_inference_usage_input_tokens_total",
        ),
        ("agent.cost.usd", "{USD}", "counter", "agent_cost_usd_total"),
        ("agent.cost", "USD", "counter", "agent_cost_USD_total"),
        ("used", "1", "gauge", "used_ratio"),
        ("ratio.used", "1", "gauge", "used_ratio"),
        ("http.seconds.spent", "s", "", "http_seconds_spent"),
        ("pforge_total_tokens", "", "counter", "pforge_tokens_total"),
        ("calls", "1", "counter", "calls_total"),
        ("traces.span.metrics.duration", "ms", "", "traces_span_metrics_duration_milliseconds"),
        ("process.memory.usage", "By", "", "process_memory_usage_bytes"),
        ("pforge_tokens_used_total", "", "counter", "pforge_tokens_used_total"),
        ("disk.io", "By/s", "gauge", "disk_io_bytes_per_second"),
        ("2xx", "", "gauge", "_2xx"),
    ],
)
def test_names_are_prometheus_own(name, unit, kind, expected):
    assert prometheus_name(name, unit, counter=kind == "counter", gauge=kind == "gauge") == expected
