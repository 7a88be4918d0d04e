# SPDX-License-Identifier: Apache-2.0
"""Two streams read in turn by one task: what the transport does for each hangs under that stream's own span."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from exit_shapes import SHAPES
from opentelemetry.trace import get_current_span

from otel_agent_instrumentation.testing.capture import capture

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from exit_shapes import Shape
    from opentelemetry.trace import Tracer

    from otel_agent_instrumentation.testing.capture import Captured

pytestmark = pytest.mark.matrix


class Spanned:
    """A response body that makes a span for each read. Mixed with the HTTP library's own class of bodies."""

    def __init__(self, body: Any, tracer: Tracer, name: str) -> None:
        self.body, self.tracer, self.name = body, tracer, name

    def __iter__(self) -> Iterator[bytes]:
        iterator = iter(self.body)
        while True:
            with self.tracer.start_as_current_span(f"read {self.name}"):
                chunk = next(iterator, None)
            if chunk is None:
                return
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        iterator = aiter(self.body)
        while True:
            with self.tracer.start_as_current_span(f"read {self.name}"):
                chunk = await anext(iterator, None)
            if chunk is None:
                return
            yield chunk

    def close(self) -> None:
        self.body.close()

    async def aclose(self) -> None:
        await self.body.aclose()


class Instrumented:
    """A transport that makes a span for each request. Mixed with the HTTP library's own class of transports."""

    def __init__(self, inner: Any, body: type[Spanned], tracer: Tracer) -> None:
        self.inner, self.body, self.tracer = inner, body, tracer

    def handle_request(self, request: Any) -> Any:
        name = request.headers["x-stream"]
        with self.tracer.start_as_current_span(f"send {name}"):
            response = self.inner.handle_request(request)
        response.stream = self.body(response.stream, self.tracer, name)
        return response

    async def handle_async_request(self, request: Any) -> Any:
        name = request.headers["x-stream"]
        with self.tracer.start_as_current_span(f"send {name}"):
            response = await self.inner.handle_async_request(request)
        response.stream = self.body(response.stream, self.tracer, name)
        return response

    def close(self) -> None:
        self.inner.close()

    async def aclose(self) -> None:
        await self.inner.aclose()


def spanned(shape: Shape, tracer: Tracer, *, is_async: bool) -> Any:
    """Return an HTTP client whose transport makes spans as an instrumented one does."""
    base = shape.sdk._base_client
    http: Any = getattr(base, "httpx2", None) or base.httpx
    bodies = http.AsyncByteStream if is_async else http.SyncByteStream
    transports = http.AsyncBaseTransport if is_async else http.BaseTransport
    inner = (http.AsyncHTTPTransport if is_async else http.HTTPTransport)(verify=False)
    transport = type("Transport", (Instrumented, transports), {})(inner, type("Body", (Spanned, bodies), {}), tracer)
    return (http.AsyncClient if is_async else http.Client)(transport=transport)


def check(captured: Captured, outer: int) -> None:
    """Every span of the transport is a child of its stream's call, every one of the caller's of the caller's span."""
    calls = {span.context.span_id: span for span in captured.calls() if span.context}
    first, second = sorted(calls.values(), key=lambda span: span.start_time or 0)
    owner = {name: span.context and span.context.span_id for name, span in (("a", first), ("b", second))}
    assert [span.parent and span.parent.span_id for span in (first, second)] == [outer, outer]
    seen: dict[str, int] = {}
    for span in captured.spans():
        kind, _, name = span.name.partition(" ")
        assert span.parent is not None or span.name == "outer"
        if kind in {"send", "read"}:
            assert span.parent is not None
            assert span.parent.span_id == owner[name], span.name
        elif kind == "caller's":
            assert span.parent is not None
            assert span.parent.span_id == outer
        seen[span.name] = seen.get(span.name, 0) + 1
    assert (seen["send a"], seen["send b"], seen["caller's own"]) == (1, 1, 4)
    assert seen["read a"] >= 2
    assert seen["read b"] >= 2


def resource(shape: Shape, client: Any) -> Any:
    found = client
    for name in shape.resource.split("."):
        found = getattr(found, name)
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("first_closed", ["a", "b"])
def test_interleaved_streams_of_one_thread(shape, first_closed, provider):
    provider.reply = shape.reply
    with capture() as captured:
        tracer = captured.tracer_provider.get_tracer("transport")
        http = spanned(shape, tracer, is_async=False)
        with shape.open(provider.url, is_async=False, http_client=http) as client:
            with tracer.start_as_current_span("outer") as outer:
                create = resource(shape, client).create
                opened = {
                    name: create(**shape.arguments, stream=True, extra_headers={"x-stream": name}) for name in "ab"
                }
                for name in "abab":
                    next(opened[name])
                    assert get_current_span() is outer
                    tracer.start_span("caller's own").end()
                opened.pop(first_closed).close()
                next(*opened.values())
                opened.popitem()[1].close()
                assert get_current_span() is outer
            check(captured, outer.get_span_context().span_id)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("first_closed", ["a", "b"])
def test_interleaved_streams_of_one_task(shape, first_closed, provider):
    provider.reply = shape.reply

    async def go(captured: Captured) -> int:
        tracer = captured.tracer_provider.get_tracer("transport")
        http = spanned(shape, tracer, is_async=True)
        async with shape.open(provider.url, is_async=True, http_client=http) as client:
            with tracer.start_as_current_span("outer") as outer:
                create = resource(shape, client).create
                opened = {
                    name: await create(**shape.arguments, stream=True, extra_headers={"x-stream": name})
                    for name in "ab"
                }
                for name in "abab":
                    await anext(opened[name])
                    assert get_current_span() is outer
                    tracer.start_span("caller's own").end()
                await opened.pop(first_closed).close()
                await anext(*opened.values())
                await opened.popitem()[1].close()
                assert get_current_span() is outer
                return outer.get_span_context().span_id

    with capture() as captured:
        check(captured, asyncio.run(go(captured)))
