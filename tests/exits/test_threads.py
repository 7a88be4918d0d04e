# SPDX-License-Identifier: Apache-2.0
"""Streams and threads: many at once, read or dropped elsewhere than they were opened, closed while a read blocks."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from exit_harness import name_of
from exit_shapes import CHAT, SHAPES, Call
from opentelemetry import context as otel_context
from opentelemetry.trace import StatusCode

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.testing.capture import capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from exit_shapes import Shape
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_agent_instrumentation.testing.capture import Captured

pytestmark = pytest.mark.matrix
shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)

THREADS = 50


def elsewhere(function: Callable[[], Any]) -> Any:
    """Run ``function`` in a thread that was not there before."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(10)


def ended(captured: Captured, count: int = 1) -> list[ReadableSpan]:
    """Return the calls' spans once there are ``count``, within a second."""
    deadline = time.monotonic() + 1
    while len(captured.calls()) < count and time.monotonic() < deadline:
        time.sleep(0.001)
    return captured.calls()


def facts(span: ReadableSpan) -> tuple[Any, ...]:
    found = span.attributes or {}
    keys = (semconv.ERROR_TYPE, semconv.STREAM_END, semconv.STREAM_CHUNKS, semconv.USAGE_OUTPUT_TOKENS)
    return span.status.status_code, *(found.get(key) for key in keys)


@shapes
def test_fifty_threads_stream_at_once(shape, provider):
    provider.reply = shape.reply
    together = threading.Barrier(THREADS)

    def one(client: Any) -> tuple[int, bool]:
        together.wait(20)
        before = otel_context.get_current()
        count = sum(1 for _ in Call(shape, "create", client).block())
        return count, otel_context.get_current() is before

    with capture() as captured, shape.open(provider.url, is_async=False) as client, ThreadPoolExecutor(THREADS) as pool:
        seen = list(pool.map(lambda _: one(client), range(THREADS)))
        assert len(ended(captured, THREADS)) == THREADS
        chunks = seen[0][0]
        assert seen == [(chunks, True)] * THREADS
        assert {facts(span) for span in captured.calls()} == {(StatusCode.UNSET, None, None, chunks, 7)}


@shapes
def test_a_stream_is_drained_in_another_thread(shape, provider):
    provider.reply = shape.reply
    with capture() as captured, shape.open(provider.url, is_async=False) as client:
        before = otel_context.get_current()
        stream = Call(shape, "create", client).block()
        next(stream)
        rest = elsewhere(lambda: (len(list(stream)), otel_context.get_current() == otel_context.Context()))
        assert otel_context.get_current() is before
        assert rest[1]
        assert facts(captured.span()) == (StatusCode.UNSET, None, None, 1 + rest[0], 7)


@shapes
@pytest.mark.parametrize("leave", ["close", "drop"])
def test_a_stream_is_left_in_another_thread(shape, leave, provider):
    provider.reply = shape.reply
    with capture() as captured, shape.open(provider.url, is_async=False) as client:
        held = [Call(shape, "create", client).block()]
        next(held[0])

        def left() -> None:
            stream = held.pop()
            if leave == "close":
                stream.close()
            del stream
            gc.collect()

        elsewhere(left)
        assert [facts(span)[:4] for span in ended(captured)] == [
            (StatusCode.UNSET, None, "closed" if leave == "close" else "abandoned", 1)
        ]


def closed_while_reading(shape: Shape, url: str) -> str | None:
    """Close a stream whose reader waits for the provider; return what the reader sees."""
    with shape.open(url, is_async=False, timeout=0.5) as client:
        stream = Call(shape, "create", client).block()
        next(stream)

        def read() -> str | None:
            try:
                for _ in stream:
                    pass
            except Exception as error:  # noqa: BLE001 - compared with the unpatched run's
                return name_of(error)
            return None

        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(read)
            time.sleep(0.1)
            stream.close()
            return reading.result(10)


@shapes
def test_a_stream_is_closed_while_another_thread_reads(shape, provider):
    provider.reply = shape.reply.but(hang_after=2)
    plain = closed_while_reading(shape, provider.url)
    with capture() as captured:
        assert closed_while_reading(shape, provider.url) == plain
        (span,) = ended(captured)
        # What the reader saw counts: it is he who has the stream. A close that he did not notice is a close.
        error = plain.partition(":")[2] if plain else None
        assert facts(span)[:2] == (StatusCode.ERROR if error else StatusCode.UNSET, error)


@shapes
def test_a_stream_is_closed_while_another_task_reads(shape, provider):
    provider.reply = shape.reply.but(hang_after=2)

    async def go() -> str | None:
        async with shape.open(provider.url, is_async=True, timeout=0.5) as client:
            stream = await Call(shape, "create", client).block()
            await anext(stream)

            async def read() -> None:
                async for _ in stream:
                    pass

            reading = asyncio.ensure_future(read())
            await asyncio.sleep(0.1)
            await stream.close()
            (raised,) = await asyncio.gather(reading, return_exceptions=True)
            return name_of(raised) if raised else None

    seen: list[str | None] = []
    spans: list[ReadableSpan] = []
    for recording in (nullcontext(), capture()):
        with recording as captured:
            seen.append(asyncio.run(go()))
            spans += ended(captured) if captured else []
    assert seen[0] == seen[1]
    error = seen[0].partition(":")[2] if seen[0] else None
    assert [facts(span)[:2] for span in spans] == [(StatusCode.ERROR if error else StatusCode.UNSET, error)]


def test_a_stream_goes_from_task_to_task(provider):
    provider.reply = CHAT.reply

    async def go() -> None:
        async with CHAT.open(provider.url, is_async=True) as client:
            stream = await asyncio.ensure_future(Call(CHAT, "create", client).block())
            for _ in range(3):
                before = otel_context.get_current()
                await asyncio.ensure_future(anext(stream))
                assert otel_context.get_current() is before
            await asyncio.ensure_future(stream.close())

    with capture() as captured:
        asyncio.run(go())
        assert facts(captured.span())[:4] == (StatusCode.UNSET, None, "closed", 3)
