# SPDX-License-Identifier: Apache-2.0
"""Metrics: what one measurement costs against the SDK's own call, and how long a scrape takes and holds others up."""

from __future__ import annotations

import statistics
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest

from otel_agent_instrumentation import config, semconv
from otel_agent_instrumentation.metrics import where
from otel_agent_instrumentation.metrics.access import Access
from otel_agent_instrumentation.metrics.bound import Bound, Moment
from otel_agent_instrumentation.metrics.own import Gauge
from otel_agent_instrumentation.metrics.prometheus import PrometheusReader
from otel_agent_instrumentation.metrics.serving import serve
from otel_agent_instrumentation.redaction.install import install
from otel_agent_instrumentation.signals.actions import Actions

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 7
MEASUREMENTS = 20_000
SERIES = (200, 2_000, 20_000)
TICK = 0.005  # seconds
WATCHED = 2.0  # seconds
LABELS = {
    semconv.OPERATION_NAME: "chat",
    semconv.PROVIDER_NAME: "openai",
    semconv.REQUEST_MODEL: "gpt-5",
    semconv.RESPONSE_MODEL: "gpt-5-2026-08-07",
    semconv.SERVER_ADDRESS: "api.openai.com",
    semconv.AGENT_NAME: "coder",
}


def _timed(act: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - start) / times


def measurements() -> None:
    """One measurement, of each kind that there is."""
    reader = PrometheusReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    install(provider)
    where.use(provider)
    meter = provider.get_meter(semconv.SCOPE)
    histogram = meter.create_histogram("bench.histogram", explicit_bucket_boundaries_advisory=list(semconv.SECONDS))
    bound, moment = Bound(histogram, LABELS), Moment(Context(), time.time_ns())
    waiting = Actions(meter).of("chat", "coder", success=True)
    gauge = Gauge("bench_gauge", "", ["agent"]).labels("coder")
    acts: dict[str, Callable[[], object]] = {
        "the SDK's": lambda: histogram.record(1.5, LABELS),
        "of a call": lambda: bound.record(1.5, moment),
        "of an action": lambda: waiting.note(1.5),
        "a gauge's `set`": lambda: gauge.set(1.5),
    }
    found: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(ROUNDS):
        for name, act in acts.items():
            found[name].append(_timed(act, MEASUREMENTS))
    print(f"\nper measurement (six labels; median of {ROUNDS} rounds)")
    for name, costs in found.items():
        ratio = statistics.median(ours / floor for ours, floor in zip(costs, found["the SDK's"], strict=True))
        print(f"  {name:18} {ratio:5.2f} x the SDK's   {statistics.median(costs) * 1e6:6.2f} us")
    provider.shutdown()


def _fill(provider: MeterProvider, series: int) -> None:
    """Half of the series in counters, half in histograms of 14 edges (17 series each)."""
    meter = provider.get_meter("bench")
    counters = [meter.create_counter(f"bench.counter{number}") for number in range(20)]
    histograms = [
        meter.create_histogram(f"bench.h{n}", unit="s", explicit_bucket_boundaries_advisory=list(semconv.SECONDS))
        for n in range(5)
    ]
    for number in range(series // 2):
        counters[number % 20].add(1, {**LABELS, semconv.TASK: f"t{number // 20}"})
    for number in range(series // 2 // 17):
        histograms[number % 5].record(1.5, {**LABELS, semconv.TASK: f"t{number // 5}"})


def _lateness(beside: Callable[[], object] | None) -> float:
    """How late a ticker of 5 ms was at the worst, in seconds, while something is done over and over."""
    worst, over = [0.0], threading.Event()

    def tick() -> None:
        while not over.is_set():
            due = time.perf_counter() + TICK
            time.sleep(TICK)
            worst[0] = max(worst[0], time.perf_counter() - due)

    ticker = threading.Thread(target=tick)
    ticker.start()
    end = time.monotonic() + WATCHED
    while time.monotonic() < end:
        beside() if beside is not None else time.sleep(0.05)
    over.set()
    ticker.join()
    return worst[0]


def _get(port: int) -> Callable[[], object]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": "Bearer t"})

    def get() -> object:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return response.read()

    return get


def scrapes() -> None:
    """A scrape by its number of series: the text's making, and what it does to a ticker of 5 ms."""
    print(f"\nper scrape (guard on; median of {ROUNDS}); a ticker of 5 ms while scrapes follow one another")
    print(f"  {'series':>7}  {'ours':>9}  {'OpenMetrics':>11}  {'stock exporter':>14}  {'ticker late, worst':>18}")
    print(f"  {'none':>7}  {'':9}  {'':11}  {'':14}  {_lateness(None) * 1e3:15.1f} ms")
    for series in SERIES:
        reader, registry = PrometheusReader(), CollectorRegistry()
        stock: Any = PrometheusMetricReader
        provider = MeterProvider([reader, stock(registry=registry)], shutdown_on_exit=False)
        install(provider)
        _fill(provider, series)
        ways: list[Callable[[], object]] = [
            reader.text,
            lambda reader=reader: reader.text(openmetrics=True),
            lambda registry=registry: generate_latest(registry),
        ]
        found: list[list[float]] = [[] for _ in ways]
        for _ in range(ROUNDS):
            for costs, way in zip(found, ways, strict=True):
                costs.append(_timed(way, 1))
        plain, openmetrics, theirs = (statistics.median(costs) * 1e3 for costs in found)
        settings = config.Settings(prometheus_host="127.0.0.1", prometheus_port=0)
        server = serve(reader, Access("t"), settings)
        late = _lateness(_get(server.port)) * 1e3 if server is not None else float("nan")
        if server is not None:
            server.close()
        print(f"  {series:7}  {plain:6.1f} ms  {openmetrics:8.1f} ms  {theirs:11.1f} ms  {late:15.1f} ms")
        provider.shutdown()


def main() -> None:
    """Both."""
    measurements()
    scrapes()
