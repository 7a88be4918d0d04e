# SPDX-License-Identifier: Apache-2.0
"""Each reader and observer of ours broken in turn: the answer is intact, one fact is missing, the rest is there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import StatusCode

import harm
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.core import contain
from otel_agent_instrumentation.integrations import _chat, _messages, _responses
from otel_agent_instrumentation.signals.events import Events
from otel_agent_instrumentation.signals.metrics import Metrics
from otel_agent_instrumentation.signals.spans import Spans
from otel_agent_instrumentation.testing.capture import Captured, capture

if TYPE_CHECKING:
    from collections.abc import Generator

    from otel_agent_instrumentation.core.spec import Api

pytestmark = [pytest.mark.matrix, pytest.mark.faults]


@pytest.fixture(scope="module")
def lab():
    with harm.Lab() as lab:
        yield lab


@pytest.fixture
def content(monkeypatch):
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_AND_EVENT")


def broken(*args: object, **kwargs: object) -> Any:
    raise ZeroDivisionError("a reader of ours")


class BrokenAccumulator:
    """An accumulator one of whose parts raises."""

    def __init__(self, inner: Any, part: str) -> None:
        self._inner, self._part = inner, part

    def __getattr__(self, name: str) -> Any:
        # Not an AttributeError, which `getattr` with a default would take for an answer.
        return broken if name == self._part else getattr(self._inner, name)

    @property
    def complete(self) -> bool:
        return broken() if self._part == "complete" else self._inner.complete


@contextmanager
def without(api: Api, part: str) -> Generator[None]:
    """Break one part of an API's readers, wherever it is used."""
    field = part.partition(".")[0]
    original = getattr(api, field)

    def accumulator(keep: bool) -> Any:
        return BrokenAccumulator(original(keep), part.partition(".")[2])

    # The dataclass is frozen for everyone else.
    object.__setattr__(api, field, accumulator if "." in part else broken)
    try:
        yield
    finally:
        object.__setattr__(api, field, original)


APIS: dict[str, tuple[Api, str, str]] = {
    "chat": (_chat.CHAT, "openai", "create"),
    "chat-stream": (_chat.CHAT, "openai", "drained"),
    "chat-closed": (_chat.CHAT, "openai", "closed"),
    "chat-groq": (_chat.CHAT, "groq", "drained_later"),
    "completion": (_chat.COMPLETIONS, "openai", "completion"),
    "embeddings": (_chat.EMBEDDINGS, "openai", "embeddings"),
    "responses": (_responses.RESPONSES, "openai", "response"),
    "responses-stream": (_responses.RESPONSES, "openai", "response_stream"),
    "messages": (_messages.MESSAGES, "anthropic", "create"),
    "messages-stream": (_messages.MESSAGES, "anthropic", "drained"),
    "messages-raw": (_messages.MESSAGES, "anthropic", "raw_stream"),
}
PARTS = (
    *("request", "response", "content", "accumulator"),
    *("accumulator.add", "accumulator.response", "accumulator.complete"),
)

KEPT = {semconv.OPERATION_NAME, semconv.PROVIDER_NAME, semconv.SERVER_ADDRESS, semconv.SERVER_PORT, semconv.RUN_ID}
"""What no broken reader can take."""


def facts(captured: Captured) -> dict[str, Any]:
    (span,) = captured.calls()
    assert span.status.status_code is StatusCode.UNSET
    found = dict(span.attributes or {})
    assert semconv.ERROR_TYPE not in found
    return found


def scenario(client: str, name: str) -> harm.Scenario:
    found = harm.named(name, clients=[client])
    if not found:
        pytest.skip("needs: package openai>=1.66")
    return found[0]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("which", APIS)
def test_a_broken_reader_costs_its_facts_alone(lab, content, which, part):
    api, client, name = APIS[which]
    played = scenario(client, name)
    streams = name not in {"create", "completion", "embeddings", "response"}
    if "accumulator" in part and not streams:
        return
    plain = lab.run(played)
    with capture() as captured:
        assert lab.run(played) == plain
        captured.spans(roots=True)
        whole = facts(captured)
        captured.clear()
        with without(api, part):
            outcome = lab.run(played)
            captured.spans(roots=True)
            less = facts(captured)
        durations = captured.points("gen_ai.client.operation.duration")
    assert outcome == plain
    assert sum(point.count for point in durations) == 2
    if which == "embeddings" and part == "content":
        return  # it has none
    if part == "accumulator.complete" and name != "closed":
        return  # not asked for: the stream was drained
    if part == "response" and streams:
        return  # the accumulator's own
    assert contain.faults()
    lost = {key for key in whole if less.get(key) != whole[key]} - {
        semconv.RESPONSE_TIME_TO_FIRST_CHUNK,
        semconv.RUN_ID,
    }
    assert lost or part == "accumulator.complete"
    assert less.keys() >= KEPT
    if part == "request":
        assert less[semconv.RESPONSE_MODEL] == whole[semconv.RESPONSE_MODEL]
    elif part != "content":
        assert less[semconv.REQUEST_MODEL] == whole[semconv.REQUEST_MODEL]


@pytest.mark.parametrize("observer", [Spans, Metrics, Events], ids=lambda observer: observer.name)
@pytest.mark.parametrize("verb", ["on_start", "on_end"])
@pytest.mark.parametrize("name", ["create", "drained", "refused"])
@pytest.mark.usefixtures("content")
def test_a_broken_observer_costs_its_own_signal(lab, monkeypatch, observer, verb, name):
    if not hasattr(observer, verb):
        return
    played = scenario("openai", name)
    plain = lab.run(played)
    monkeypatch.setattr(observer, verb, broken)
    with capture() as captured:
        assert lab.run(played) == plain
        captured.spans(roots=True)
        spans, durations = captured.calls(), captured.points("gen_ai.client.operation.duration")
        events = captured.logs()
    assert contain.faults() == {f"{observer.name}.{verb}": 1}
    assert bool(durations) is (observer is not Metrics or verb == "on_start")
    if observer is not Spans:
        (span,) = spans
        assert span.status.status_code is (StatusCode.ERROR if name == "refused" else StatusCode.UNSET)
    assert bool(events) is (observer is not Events)


@pytest.mark.parametrize("verb", ["on_start", "on_end"])
def test_a_broken_span_processor_of_the_application_costs_its_spans_alone(lab, verb):
    played = scenario("openai", "create")
    plain = lab.run(played)
    processor = type("Broken", (SpanProcessor,), {verb: broken})
    with capture() as captured:
        captured.tracer_provider.add_span_processor(processor())
        assert lab.run(played) == plain
        lines = [line for line in captured.lines() if line.event == "span.ended"]
    assert [line.payload["attributes"][semconv.OPERATION_NAME] for line in lines] == ["chat", "invoke_agent"]
    assert contain.faults()
