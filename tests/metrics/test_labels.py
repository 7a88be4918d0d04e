# SPDX-License-Identifier: Apache-2.0
"""Labels are few whatever the agent, its models or a provider make up (contracts 6)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_agent_instrumentation import declared, semconv
from otel_agent_instrumentation.core.runs import Run
from otel_agent_instrumentation.core.spec import Api, Call, Request, Response, Usage
from otel_agent_instrumentation.metrics.catalogue import CATALOGUE
from otel_agent_instrumentation.metrics.labels import OTHER, Vocabulary
from otel_agent_instrumentation.metrics.views import views
from otel_agent_instrumentation.signals.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = 10_000
API = Api("chat", lambda body, request: None, lambda node: Response())
TOKENS = "gen_ai.client.token.usage"


@pytest.mark.parametrize(
    ("label", "most"),
    [
        (semconv.AGENT_NAME, 50),
        (semconv.TASK, 100),
        (semconv.REQUEST_MODEL, 100),
        (semconv.RESPONSE_MODEL, 100),
        (semconv.PROVIDER_NAME, 50),
        (semconv.ERROR_TYPE, 100),
    ],
)
def test_the_first_values_are_kept_and_the_rest_is_other(label: str, most: int) -> None:
    words = Vocabulary()
    seen = [words.bounded(label, f"v{number}") for number in range(most * 3)]
    assert seen == [f"v{number}" for number in range(most)] + [OTHER] * most * 2
    assert words.bounded(label, "v0") == "v0"


def test_what_is_too_long_is_other_and_takes_no_room() -> None:
    words = Vocabulary()
    assert {words.bounded(semconv.REQUEST_MODEL, "x" * size) for size in range(129, 400)} == {OTHER}
    assert words.bounded(semconv.REQUEST_MODEL, "x" * 128) == "x" * 128


def test_a_number_stays_a_number() -> None:
    words = Vocabulary()
    ports = [words.bounded(semconv.SERVER_PORT, port) for port in range(1000, 1100)]
    assert ports == [*range(1000, 1050), *[-1] * 50]


def test_each_label_has_room_of_its_own() -> None:
    words = Vocabulary()
    for number in range(200):
        words.bounded(semconv.REQUEST_MODEL, f"v{number}")
    assert words.bounded(semconv.RESPONSE_MODEL, "v199") == "v199"


@pytest.fixture
def measured() -> Iterator[tuple[Metrics, InMemoryMetricReader]]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], views=views(), shutdown_on_exit=False)
    yield Metrics(provider.get_meter(semconv.SCOPE), semconv.flavours("dual")), reader
    provider.shutdown()


def call(name: str, **request: Any) -> Call:
    """A call in which ``name`` is invented by everybody."""
    made = Call("test", API, Request("chat", name, model=name, address=name, port=443, **request), Context())
    made.response = Response(model=name, usage=Usage(3, 2, 1, 1, 1))
    made.run = Run(name, name, stamp={semconv.USER_ID: name}, task=name)
    made.error_type, made.duration, made.end_ns = name, 0.5, made.start_ns
    return made


def points(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    data = reader.get_metrics_data()
    metrics = [m for r in (data.resource_metrics if data else ()) for s in r.scope_metrics for m in s.metrics]
    return {metric.name: list(metric.data.data_points) for metric in metrics}


def test_ten_thousand_invented_names_are_a_few_series_that_lose_no_token(
    measured: tuple[Metrics, InMemoryMetricReader],
) -> None:
    metrics, reader = measured
    for number in range(MANY):
        metrics.on_end(call(f"n{number}"))
        metrics.run_ended(Run(f"r{number}", f"n{number}"), 1.0, f"E{number}", None)
    found = points(reader)
    assert all(len(series) <= 202 for series in found.values()), {name: len(one) for name, one in found.items()}
    assert sum(point.sum for point in found[TOKENS]) == MANY * 5
    assert sum(point.count for point in found[semconv.INVOKE_AGENT_DURATION]) == MANY
    counters = {
        name: sum(point.value for point in found[name]) for _, name in semconv.FLAVOURS["latest"].usage_counters
    }
    assert list(counters.values()) == [MANY * 3, MANY * 2, MANY, MANY, MANY]
    for name, series in found.items():
        for point in series:
            assert set(point.attributes) <= set(CATALOGUE[name].labels)


def test_what_a_run_was_given_is_no_label(measured: tuple[Metrics, InMemoryMetricReader]) -> None:
    metrics, reader = measured
    made = call("m")
    made.run = Run("canary-run", "agent", stamp={semconv.USER_ID: "canary"}, tags={"canary": "canary"})
    metrics.on_end(made)
    metrics.run_ended(made.run, 1.0, None, None)
    assert "canary" not in repr([dict(point.attributes) for series in points(reader).values() for point in series])


def test_threads_record_into_the_same_series(measured: tuple[Metrics, InMemoryMetricReader]) -> None:
    metrics, reader = measured

    def work() -> None:
        for number in range(500):
            metrics.on_end(call(f"n{number % 150}"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = points(reader)
    assert sum(point.sum for point in found[TOKENS]) == 8 * 500 * 5
    assert len({repr(sorted(point.attributes.items())) for point in found[TOKENS]}) == len(found[TOKENS])


def test_a_label_that_is_not_in_the_catalogue_is_dropped_by_the_view() -> None:
    """Also for somebody else's measurement under a name of ours."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], views=views(), shutdown_on_exit=False)
    histogram = provider.get_meter(semconv.SCOPE).create_histogram(TOKENS)
    histogram.record(1, {semconv.TOKEN_TYPE: "input", "user.id": "u", semconv.RUN_ID: "r"})
    (point,) = points(reader)[TOKENS]
    assert dict(point.attributes) == {semconv.TOKEN_TYPE: "input"}
    provider.shutdown()


def test_no_label_of_the_catalogue_is_one_that_may_not_be() -> None:
    for row in CATALOGUE.values():
        for label in row.labels:
            assert declared.ATTRIBUTES[label].cardinality in {"low", "bounded"}, label
