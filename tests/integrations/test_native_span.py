# SPDX-License-Identifier: Apache-2.0
"""anthropic's own span (2.0 and later) stands down where ours is made, and is given back where ours is not."""

from __future__ import annotations

import asyncio
from importlib import metadata
from typing import TYPE_CHECKING, Any

import anthropic
import pytest

from clients import ASK_CLAUDE, async_anthropic, sync_anthropic
from otel_agent_instrumentation import run, semconv, suppress
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import (
    Tool,
    anthropic_error,
    anthropic_message,
    anthropic_message_stream,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from clients import Scene
    from otel_agent_instrumentation.testing.capture import Captured

pytestmark = pytest.mark.matrix

OURS = semconv.SCOPE
# What an application says that wants the client's spans in the same backend as ours. Older clients know no such option.
HAS_NATIVE = int(metadata.version("anthropic").partition(".")[0]) >= 2


def options(captured: Captured) -> dict[str, Any]:
    return {"open_telemetry": {"tracer_provider": captured.tracer_provider}} if HAS_NATIVE else {}


def scopes(captured: Captured) -> list[str]:
    """Who made the spans."""
    return [scope_of(span) for span in captured.spans()]


def scope_of(span: ReadableSpan) -> str:
    assert span.instrumentation_scope is not None
    return "ours" if span.instrumentation_scope.name == OURS else "native"


def use(client: Any) -> None:
    """A call in every way that the client has."""
    client.messages.create(**ASK_CLAUDE)
    list(client.messages.create(**ASK_CLAUDE, stream=True))
    with client.messages.stream(**ASK_CLAUDE) as stream:
        stream.get_final_message()
    client.messages.with_raw_response.create(**ASK_CLAUDE).parse()
    with client.messages.with_streaming_response.create(**ASK_CLAUDE) as response:
        response.parse()
    client.beta.messages.create(**ASK_CLAUDE)


def test_each_call_is_one_span_and_it_is_ours(scene: Scene) -> None:
    with capture() as captured, sync_anthropic(scene.provider.url, **options(captured)) as client:
        use(client)
        assert scopes(captured) == ["ours"] * 6
        assert captured.tokens() == {"input": 66, "output": 42}


def test_async_and_with_retries_and_errors_and_within_a_run(scene: Scene) -> None:
    scene.provider.enqueue(anthropic_error(429, retry_after=0.01), anthropic_message(), anthropic_error(400))

    async def main(captured: Captured) -> None:
        async with async_anthropic(scene.provider.url, max_retries=1, **options(captured)) as client:
            await client.messages.create(**ASK_CLAUDE)
            with pytest.raises(anthropic.BadRequestError):
                await client.messages.create(**ASK_CLAUDE)
            async with run("coder"):
                await client.messages.create(**ASK_CLAUDE)

    with capture() as captured:
        asyncio.run(main(captured))
        assert scopes(captured) == ["ours"] * 4
        assert captured.tokens() == {"input": 22, "output": 14}


def test_a_path_that_is_no_model_call_keeps_its_own_span(scene: Scene) -> None:
    """Only what would be told twice stands down."""
    if not HAS_NATIVE:
        pytest.skip("needs: package anthropic>=2")
    scene.provider.reply = anthropic_message()
    with capture() as captured, sync_anthropic(scene.provider.url, **options(captured)) as client:
        client.messages.count_tokens(model="m", messages=ASK_CLAUDE["messages"])
        assert "ours" not in scopes(captured)
        assert captured.tokens() == {}
        before = len(captured.spans())
        client.messages.create(**ASK_CLAUDE)
        assert scopes(captured)[before:] == ["ours"]


@pytest.mark.parametrize("how", ["disabled", "suppressed", "never instrumented"])
def test_where_ours_is_not_the_native_one_is_back(how: str, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    if not HAS_NATIVE:
        pytest.skip("needs: package anthropic>=2")
    if how == "disabled":
        monkeypatch.setenv("OTEL_AGENT_DISABLED", "anthropic")
    only = ["openai"] if how == "never instrumented" else None
    with capture(only=only) as captured, sync_anthropic(scene.provider.url, **options(captured)) as client:
        if how == "suppressed":
            with suppress():
                client.messages.create(**ASK_CLAUDE)
        else:
            client.messages.create(**ASK_CLAUDE)
        assert scopes(captured) == ["native"]
        assert captured.tokens() == {}
        (span,) = captured.spans()
    assert span.name == "anthropic.messages.create"


def test_ours_tells_what_the_native_one_tells(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the convention is lost by the exchange."""
    if not HAS_NATIVE:
        pytest.skip("needs: package anthropic>=2")
    ask = {**ASK_CLAUDE, "stop_sequences": ["x"], "extra_body": {"temperature": 0.5, "top_k": 5}}
    told: dict[str, dict[str, Any]] = {}
    monkeypatch.setenv("OTEL_AGENT_SEMCONV", "dual")  # the client speaks the latest
    for disabled in ("anthropic", ""):
        monkeypatch.setenv("OTEL_AGENT_DISABLED", disabled)
        for streamed in (False, True):
            reply = anthropic_message_stream(tools=[Tool()]) if streamed else anthropic_message(tools=[Tool()])
            scene.provider.reply = reply
            with capture() as captured, sync_anthropic(scene.provider.url, **options(captured)) as client:
                answer = client.messages.create(**ask, stream=streamed)
                assert not streamed or list(answer)
                (span,) = captured.spans()
            told[f"{'native' if disabled else 'ours'} {streamed}"] = dict(span.attributes or {})
    for streamed in (False, True):
        native, ours = told[f"native {streamed}"], told[f"ours {streamed}"]
        shared = {key for key in native if key.startswith("gen_ai.")} - _OTHERWISE
        assert {key: ours.get(key) for key in shared} == {key: native[key] for key in shared}


# Content (off here), their words for finish reasons, a measured time, and what differs by nature.
_OTHERWISE = {
    semconv.REQUEST_STOP_SEQUENCES,
    semconv.RESPONSE_FINISH_REASONS,
    semconv.RESPONSE_TIME_TO_FIRST_CHUNK,
    semconv.PROVIDER_NAME,
}
