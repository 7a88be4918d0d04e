# SPDX-License-Identifier: Apache-2.0
"""Truth: all recorded traffic is told, a span for each call, as the bodies say it; the metrics are the bodies' sums."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.testing import traffic
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.truth import truth
from recorded import WAYS, Stage, Sums, owns_tokens, plain, problems_of_call, raised, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_agent_instrumentation.testing.capture import Captured
    from otel_agent_instrumentation.testing.drive import Outcome
    from otel_agent_instrumentation.testing.traffic import Exchange

pytestmark = [pytest.mark.matrix, pytest.mark.shared]

LATEST = semconv.FLAVOURS["latest"]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


@pytest.fixture(scope="module")
def uninstrumented(stage: Stage) -> dict[str, Outcome]:
    """What the client itself makes of every exchange."""
    return {one.id: stage.play(one) for name in traffic.PROVIDERS for one in traffic.load(name)}


def play_all(
    stage: Stage, captured: Captured, exchanges: list[Exchange], way: str, flavour: str = "1.41"
) -> tuple[dict[str, Outcome], Sums, list[str]]:
    """Drive the exchanges; return their outcomes, the bodies' sums and what is wrong with the spans."""
    outcomes: dict[str, Outcome] = {}
    sums, problems = Sums(), list[str]()
    for exchange in exchanges:
        if exchange.kind is None and not way.startswith("create"):
            continue  # the plain verbs have no raw twin
        captured.clear()
        outcome = outcomes[exchange.id] = stage.play(exchange, way)
        # The tools between the calls are told as well, see test_recorded_tools.py.
        spans = [span for span in captured.spans() if semconv.TOOL_INFERRED not in (span.attributes or {})]
        if exchange.kind is None or outcome.kind == "refused":
            wrong = [f"{span.name} tells tokens" for span in spans if owns_tokens(span.attributes)]
        else:
            sums.add(truth(exchange))
            wrong = problems_of_call(exchange, raised(outcome), spans, flavour, unread=way.startswith("bytes"))
        problems += [f"{exchange.provider} {exchange.id} {exchange.kind}: {problem}" for problem in wrong]
    return outcomes, sums, problems


def measured(captured: Captured) -> Sums:
    """The token histogram of the default flavour."""
    found = Sums()
    for point in captured.points("gen_ai.client.token.usage"):
        found.put(str(point.attributes[semconv.TOKEN_TYPE]), int(point.sum), point.count)
    return found


def only(sums: Sums, *kinds: str) -> Sums:
    return Sums(
        {k: v for k, v in sums.tokens.items() if k in kinds}, {k: v for k, v in sums.calls.items() if k in kinds}
    )


@pytest.mark.parametrize("name", traffic.PROVIDERS)
@pytest.mark.parametrize("way", WAYS)
def test_every_exchange_is_told_as_its_body_says(
    name: str, way: str, stage: Stage, uninstrumented: dict[str, Outcome], refusals: list[str]
) -> None:
    exchanges = traffic.load(name)
    with capture() as captured:
        outcomes, sums, problems = play_all(stage, captured, exchanges, way)
        assert problems == []
        assert measured(captured) == only(sums, "input", "output")
    refused = {key: outcome.reason for key, outcome in outcomes.items() if outcome.kind == "refused"}
    if way == "create":
        refusals.extend(f"{name} {key}: {reason}" for key, reason in refused.items())
    before = {key: uninstrumented[key] for key in outcomes}
    assert set(refused) == {key for key, outcome in before.items() if outcome.kind == "refused"}
    if not way.startswith("bytes"):
        changed = [key for key, outcome in outcomes.items() if not _same(outcome, before[key], way)]
        assert changed == []


def _same(one: Outcome, other: Outcome, way: str) -> bool:
    if one.kind == other.kind == "refused":
        return True  # a sync and an async client word it by their own names
    if way.startswith("create"):
        return told(one) == told(other)
    # Its raw twin gives no items of a stream that fails.
    return (one.kind, one.reason) == (other.kind, other.reason) and (
        one.kind != "ok" or plain(one.result) == plain(other.result)
    )


@pytest.mark.parametrize("flavour", ["latest", "dual"])
def test_the_sums_are_the_same_in_every_flavour(flavour: str, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_AGENT_SEMCONV", flavour)
    exchanges = [one for name in traffic.PROVIDERS for one in traffic.load(name)]
    with capture() as captured:
        _, sums, problems = play_all(stage, captured, exchanges, "create", flavour)
        assert problems == []
        assert measured(captured) == (only(sums, "input", "output") if flavour == "dual" else Sums())
        counters = {kind: _total(captured.points(metric)) for kind, metric in LATEST.usage_counters}
        assert counters == sums.tokens
        for kind, metric in LATEST.usage_histograms:
            points = captured.points(metric)
            assert sum(point.sum for point in points) == sums.tokens[kind]
            assert sum(point.count for point in points) == sums.calls[kind]


def _total(points: list[Any]) -> int:
    return sum(int(point.value) for point in points)


def test_what_is_counted_is_most_of_the_traffic(uninstrumented: dict[str, Outcome]) -> None:
    """The rest of this file would pass over an empty folder."""
    every = [one for name in traffic.PROVIDERS for one in traffic.load(name)]
    counts = Counter(one.kind for one in every if uninstrumented[one.id].kind != "refused")
    assert sum(counts[kind] for kind in ("chat", "responses", "embeddings", "completions", "messages")) > 350
