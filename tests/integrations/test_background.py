# SPDX-License-Identifier: Apache-2.0
"""Responses that go on in the background: polled, streamed, fetched again; their tokens are told once."""

from __future__ import annotations

import asyncio
import itertools
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import openai
import pytest

from clients import ASK_RESPONSES, async_openai
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import openai_error, openai_responses, openai_responses_stream

if TYPE_CHECKING:
    from clients import Scene
    from otel_agent_instrumentation.testing.capture import Captured
    from otel_agent_instrumentation.testing.provider import Reply

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.skipif(find_spec("openai.resources.responses") is None, reason="needs: package openai>=1.66"),
]
COUNTED = {"input": 11, "output": 7}
_numbers = itertools.count()


@pytest.fixture
def name() -> str:
    """An id that no other test has fetched."""
    return f"resp_bg{next(_numbers)}"


def going_on(name: str, status: str) -> Reply:
    return openai_responses(id=name, status=status, usage=None, output=[])


def done(name: str, **fields: Any) -> Reply:
    return openai_responses(id=name, **fields)


def begin(scene: Scene, **more: Any) -> Any:
    return scene.openai.responses.create(**ASK_RESPONSES, extra_body={"background": True}, **more)


def owners(captured: Captured) -> list[str]:
    """The operations of the spans that tell tokens."""
    spans = captured.spans()
    return [
        str((span.attributes or {})[semconv.OPERATION_NAME])
        for span in spans
        if semconv.USAGE_INPUT_TOKENS in (span.attributes or {})
    ]


def test_polled_until_it_is_done_its_tokens_are_told_once(scene: Scene, name: str) -> None:
    polls = [going_on(name, "queued"), going_on(name, "in_progress"), done(name), done(name)]
    scene.provider.enqueue(going_on(name, "queued"), *polls)
    with capture() as captured:
        begin(scene)
        for _ in polls:
            scene.openai.responses.retrieve(name)
        spans = captured.spans()
        assert captured.tokens() == COUNTED
        assert owners(captured) == ["fetch_response"]
    operations = [(span.name, (span.attributes or {})[semconv.RESPONSE_STATUS]) for span in spans]
    assert operations == [
        ("chat gpt-5", "queued"),
        ("fetch_response", "queued"),
        ("fetch_response", "in_progress"),
        ("fetch_response", "completed"),
        ("fetch_response", "completed"),
    ]
    assert [(span.attributes or {})[semconv.RESPONSE_ID] for span in spans] == [name] * 5
    reasons = [(span.attributes or {}).get(semconv.RESPONSE_FINISH_REASONS) for span in spans]
    assert reasons == [None, None, None, ("stop",), ("stop",)]


@pytest.mark.parametrize("status", ["failed", "incomplete", "cancelled"])
def test_what_ends_otherwise_is_told_once_too(status: str, scene: Scene, name: str) -> None:
    scene.provider.enqueue(going_on(name, "queued"), done(name, status=status), done(name, status=status))
    with capture() as captured:
        begin(scene)
        for _ in range(2):
            scene.openai.responses.retrieve(name)
        assert captured.tokens() == COUNTED


def test_async_polls_at_once_count_once(scene: Scene, name: str) -> None:
    scene.provider.enqueue(going_on(name, "queued"))
    scene.provider.reply = done(name)

    async def main() -> None:
        async with async_openai(scene.provider.url) as client:
            await client.responses.create(**ASK_RESPONSES, extra_body={"background": True})
            await asyncio.gather(*(client.responses.retrieve(name) for _ in range(20)))

    with capture() as captured:
        asyncio.run(main())
        assert captured.tokens() == COUNTED
        assert owners(captured) == ["fetch_response"]


def test_a_response_that_others_began_owns_no_tokens_here(scene: Scene, name: str) -> None:
    scene.provider.enqueue(going_on(name, "queued"), going_on(name, "in_progress"), done(name), done(name))
    with capture() as captured:
        for _ in range(4):
            scene.openai.responses.retrieve(name)
        assert (captured.tokens(), owners(captured), len(captured.spans())) == ({}, [], 4)


def test_a_response_that_was_answered_at_once_owns_its_tokens_alone(scene: Scene, name: str) -> None:
    scene.provider.enqueue(done(name), done(name))
    with capture() as captured:
        scene.openai.responses.create(**ASK_RESPONSES)
        scene.openai.responses.retrieve(name)
        assert captured.tokens() == COUNTED
        assert owners(captured) == ["chat"]


@pytest.mark.parametrize("after", ["break", "with"])
def test_a_stream_left_early_and_fetched_later_counts_once(after: str, scene: Scene, name: str) -> None:
    scene.provider.enqueue(openai_responses_stream(id=name), done(name), done(name))
    with capture() as captured:
        stream = begin(scene, stream=True)
        if after == "with":
            with stream:
                next(iter(stream))
        else:
            for _ in stream:
                break
            stream.close()
        assert captured.tokens() == {}
        for _ in range(2):
            scene.openai.responses.retrieve(name)
        assert captured.tokens() == COUNTED
        assert owners(captured) == ["fetch_response"]


def test_a_stream_read_to_its_end_is_not_counted_again_by_a_fetch(scene: Scene, name: str) -> None:
    scene.provider.enqueue(openai_responses_stream(id=name), done(name))
    with capture() as captured:
        list(begin(scene, stream=True))
        scene.openai.responses.retrieve(name)
        assert captured.tokens() == COUNTED
        assert owners(captured) == ["chat"]


def test_a_fetch_may_stream_and_one_left_early_leaves_the_tokens_to_the_next(scene: Scene, name: str) -> None:
    scene.provider.enqueue(going_on(name, "queued"), *[openai_responses_stream(id=name)] * 3)
    with capture() as captured:
        begin(scene)
        with scene.openai.responses.retrieve(name, stream=True) as stream:
            next(iter(stream))
        assert captured.tokens() == {}
        for _ in range(2):
            list(scene.openai.responses.retrieve(name, stream=True))
        assert captured.tokens() == COUNTED
        assert owners(captured) == ["fetch_response"]


def test_a_raw_fetch_counts_too(scene: Scene, name: str) -> None:
    scene.provider.enqueue(going_on(name, "queued"), done(name), done(name))
    with capture() as captured:
        begin(scene)
        for _ in range(2):
            scene.openai.responses.with_raw_response.retrieve(name).parse()
        assert captured.tokens() == COUNTED


def test_a_fetch_of_what_is_not_there_is_an_error_without_tokens(scene: Scene, name: str) -> None:
    scene.provider.enqueue(openai_error(404))
    with capture() as captured:
        with pytest.raises(openai.NotFoundError):
            scene.openai.responses.retrieve(name)
        assert captured.span().status.status_code.name == "ERROR"
        assert captured.tokens() == {}
