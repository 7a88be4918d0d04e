# SPDX-License-Identifier: Apache-2.0
"""Two thousand streams, half of them abandoned: no state and no recording span stays behind."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from exit_shapes import APIS, BARE, SHAPES, Call
from opentelemetry.sdk.trace import SpanProcessor

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.core import streams
from otel_agent_instrumentation.testing.capture import capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import Span

    from otel_agent_instrumentation.testing.capture import Captured

pytestmark = [
    pytest.mark.matrix,
    # What nobody closes the collector closes, sockets too: that is what is tried here.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CALLS = 1000
AT_ONCE = 25


@pytest.fixture(autouse=True)
def collected_by_hand() -> Iterator[None]:
    """A collection within a request can lock an old httpcore up: it closes a dropped stream under the pool's lock."""
    gc.disable()
    yield
    gc.enable()


class Gauge(SpanProcessor):
    """Knows the spans that are alive."""

    def __init__(self) -> None:
        self.spans: weakref.WeakSet[Span] = weakref.WeakSet()

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        if semconv.RUN_IMPLICIT not in (span.attributes or {}):
            self.spans.add(span)

    def settled(self, captured: Captured, calls: int) -> bool:
        """Whether every call has ended and nothing of it is left; waits 5 s for the reaper."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            gc.collect()
            if len(captured.calls()) == calls and not streams._live and not any(s.is_recording() for s in self.spans):
                captured.clear()  # the exporter holds what it was given
                gc.collect()
                return not self.spans
            time.sleep(0.01)
        return False


def cells(number: int) -> tuple[Any, str, bool]:
    """Return the shape, the API and whether to abandon, for the n-th call."""
    return SHAPES[number % len(SHAPES)], APIS[number // 3 % len(APIS)], bool(number % 2)


def one(call: Call, *, abandon: bool) -> None:
    block = call.block()
    for _ in call.items(block if call.api in BARE else block.__enter__()):
        if abandon:
            return


async def one_async(call: Call, *, abandon: bool) -> None:
    block = await call.block()
    async for _ in await call.items(block if call.api in BARE else await block.__aenter__()):
        if abandon:
            return


def test_sync_calls_leave_nothing(provider):
    provider.reply = None
    with capture() as captured:
        captured.tracer_provider.add_span_processor(gauge := Gauge())
        clients = {shape.name: shape.open(provider.url, is_async=False) for shape in SHAPES}
        for number in range(CALLS):
            shape, api, abandon = cells(number)
            one(Call(shape, api, clients[shape.name]), abandon=abandon)
            if number % 50 == 0:
                gc.collect()
        assert gauge.settled(captured, CALLS)
        for client in clients.values():
            client.close()


def test_async_calls_leave_nothing(provider):
    provider.reply = None

    async def go(captured: Captured, gauge: Gauge) -> bool:
        clients = {shape.name: shape.open(provider.url, is_async=True) for shape in SHAPES}
        for start in range(0, CALLS, AT_ONCE):
            wanted = (cells(number) for number in range(start, start + AT_ONCE))
            await asyncio.gather(*(one_async(Call(s, api, clients[s.name]), abandon=left) for s, api, left in wanted))
            gc.collect()
        for _ in range(20):  # the loop closes the generators that were left, in tasks of its own
            await asyncio.sleep(0.005)
            gc.collect()
        ended = await asyncio.to_thread(gauge.settled, captured, CALLS)
        for client in clients.values():
            await client.close()
        return ended

    with capture() as captured:
        captured.tracer_provider.add_span_processor(gauge := Gauge())
        assert asyncio.run(go(captured, gauge))
