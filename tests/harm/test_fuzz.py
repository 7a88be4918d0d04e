# SPDX-License-Identifier: Apache-2.0
"""Odd answers and odd requests (E2): the same outcome with and without us, no warning, and all that leaves is sound."""

from __future__ import annotations

import json
import logging
import math
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

import harm
import odd_json
from otel_agent_instrumentation.core import contain
from otel_agent_instrumentation.testing.capture import Captured, capture
from otel_agent_instrumentation.testing.provider import (
    Reply,
    anthropic_message,
    anthropic_message_stream,
    openai_chat,
    openai_chat_stream,
    openai_completion,
    openai_embeddings,
    openai_responses,
    openai_responses_stream,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.matrix, pytest.mark.faults, pytest.mark.timeout(300)]

ROUNDS = 100
REPLIES: dict[str, tuple[str, str, Callable[[], Reply]]] = {
    "chat": ("openai", "create", openai_chat),
    "chat-later": ("openai", "create_later", openai_chat),
    "chat-raw": ("openai", "raw", openai_chat),
    "chat-lines": ("openai", "streaming", openai_chat),
    "chat-stream": ("openai", "drained", openai_chat_stream),
    "chat-stream-later": ("openai", "drained_later", openai_chat_stream),
    "chat-helper": ("openai", "helper", openai_chat_stream),
    "chat-raw-stream": ("openai", "raw_stream", openai_chat_stream),
    "groq-stream": ("groq", "drained", openai_chat_stream),
    "completion": ("openai", "completion", openai_completion),
    "embeddings": ("openai", "embeddings", openai_embeddings),
    "responses": ("openai", "response", openai_responses),
    "responses-stream": ("openai", "response_stream", openai_responses_stream),
    "messages": ("anthropic", "create", anthropic_message),
    "messages-stream": ("anthropic", "drained", anthropic_message_stream),
    "messages-helper": ("anthropic", "helper", anthropic_message_stream),
    "messages-raw-stream": ("anthropic", "raw_stream", anthropic_message_stream),
}
LINES = (
    b"data: not json",
    b"data: \xff\xfe",
    b"data:",
    b": comment",
    b"event: x\ndata: {}",
    b"data: [DONE]",
    b"\x00",
    b"data: 1",
)


@pytest.fixture(scope="module")
def lab():
    with harm.Lab() as lab:
        yield lab


@pytest.fixture(params=["SPAN_AND_EVENT", "NO_CONTENT"])
def content(monkeypatch, request):
    """Whether messages are kept, which reads more of them, or not, which takes shorter ways."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", request.param)


def odd_reply(reply: Reply, rng: Random) -> Reply:
    """A reply with odd places: in its document, or in some events of its stream."""
    if isinstance(reply.body, bytes):
        return reply.but(body=odd_json.encoded(odd_json.made_odd(json.loads(reply.body), rng)))
    events = list(reply.body)
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(events))
        head, _, data = events[at].partition(b"data: ")
        if not data.startswith(b"{") or rng.random() < 0.1:
            events.insert(at, rng.choice(LINES) + b"\n\n")
            continue
        events[at] = head + b"data: " + odd_json.encoded(odd_json.made_odd(json.loads(data), rng)) + b"\n\n"
    return reply.but(body=tuple(events))


def sound(captured: Captured) -> None:
    """What leaves can be encoded: one value that cannot would lose the whole batch."""
    encode_spans(captured.spans(roots=True)).SerializeToString()
    encode_logs(captured.log_exporter.get_finished_logs()).SerializeToString()
    data = captured.reader.get_metrics_data()
    if data is not None:
        encode_metrics(data).SerializeToString()
    for name in ("gen_ai.client.token.usage", "gen_ai.client.operation.duration"):
        assert all(math.isfinite(point.sum) and point.sum >= 0 for point in captured.points(name))
    for line in captured.lines():
        assert line.run_id


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        f"{record.name}: {record.getMessage()[:200]}" for record in caplog.records if record.levelno >= logging.WARNING
    ]


@pytest.mark.parametrize("which", REPLIES)
def test_odd_answers(lab, content, caplog, which):
    client, name, reply = REPLIES[which]
    found = harm.named(name, clients=[client])
    if not found:
        pytest.skip("needs: package openai>=1.66")
    problems: list[str] = []
    with capture() as captured:
        for seed in range(ROUNDS):
            outcomes = []
            for on in (False, True):
                with harm.quiet(not on):
                    outcomes.append(lab.run(found[0], odd_reply(reply(), Random(seed))))  # noqa: S311 - the same for the same seed
            if outcomes[0] != outcomes[1]:
                problems.append(f"{seed}: {outcomes[0]}\n  became {outcomes[1]}"[:2000])
            problems += [f"{seed}: contained fault at {site}" for site in contain.faults()]
            problems += [f"{seed}: {line}" for line in complaints(caplog)]
            caplog.clear()
            contain.reset()
        sound(captured)
    problems += complaints(caplog)
    assert not problems, "\n".join(problems[:20])


# --- odd requests ----------------------------------------------------------------------------------------------------


class Text(str):
    """A string of the application's own kind."""

    __slots__ = ()


class Broken:
    """An object that answers nothing: reading it is a fault, contained, that is its own."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def _once() -> Any:
    yield {"role": "user", "content": "from a generator"}


# Made anew for each run: a generator that we read would be empty for the client.
VALUES: tuple[Callable[[], Any], ...] = (
    *(
        lambda value=value: value
        for value in (None, True, 0, -1, 2**64, 1.5, float("nan"), "", "x", "\ud800", (), {}, [])
    ),
    *(lambda: [None], lambda: ["a", 1], lambda: [[]], lambda: {"type": ["x"]}, lambda: Text("own"), Broken, _once),
    *(lambda: [{"role": "tool"}], lambda: [{"role": ["user"], "content": {"a": 1}}], lambda: odd_json.deep(40)),
    *(lambda: [Broken()], lambda: {"role": "user"}, lambda: [{"role": "user", "content": [{"type": None}, None, 1]}]),
)
FIELDS = (
    *("model", "messages", "temperature", "max_tokens", "stop", "stop_sequences", "tools", "tool_choice", "seed", "n"),
    *("response_format", "reasoning_effort", "stream", "extra_body", "extra_headers", "top_p", "metadata"),
)


def odd_request(arguments: dict[str, Any], rng: Random) -> dict[str, Any]:
    chosen = {rng.choice(FIELDS): rng.choice(VALUES)() for _ in range(rng.randint(1, 2))}
    return {**arguments, **chosen}


@pytest.mark.parametrize("client", harm.CLIENTS)
def test_odd_requests(lab, content, caplog, client):
    def play(seed: int) -> object:
        resource, arguments = lab.resource(client)
        answer = resource.create(**odd_request(arguments, Random(seed)))  # noqa: S311
        return list(answer) if hasattr(answer, "response") else answer

    problems: list[str] = []
    with capture() as captured:
        for seed in range(ROUNDS):
            scenario = harm.Scenario("odd", client, lambda _, seed=seed: play(seed))
            outcomes = []
            for on in (False, True):
                with harm.quiet(not on):
                    outcomes.append(lab.run(scenario))
            if outcomes[0] != outcomes[1]:
                problems.append(f"{seed}: {outcomes[0]}\n  became {outcomes[1]}"[:2000])
            problems += [f"{seed}: {line}" for line in complaints(caplog) if "(RuntimeError)" not in line]
            caplog.clear()
            contain.reset()
        sound(captured)
    problems += complaints(caplog)
    assert not problems, "\n".join(problems[:20])
