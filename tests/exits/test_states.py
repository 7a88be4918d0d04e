# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to a stream and in whatever order: it ends once, and what it ended as stays."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.trace import StatusCode

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.core import streams
from otel_agent_instrumentation.core.engine import engine
from otel_agent_instrumentation.core.reaper import reaper
from otel_agent_instrumentation.core.spec import Request
from otel_agent_instrumentation.core.streams import AsyncReader, StreamState, sync_reader
from otel_agent_instrumentation.integrations._chat import CHAT as CHAT_API
from otel_agent_instrumentation.testing.capture import capture

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.matrix


def left_by_error(state: StreamState) -> None:
    token = streams.leaving.set(KeyError("mine"))
    state.closing()
    streams.leaving.reset(token)


def dropped(state: StreamState) -> None:
    state.dropped()
    reaper.drain()


def library_closes(state: StreamState) -> None:
    """The client closes the body while it reads, as it does at the end and before it raises."""
    state.reading = True
    state.closing()
    state.reading = False


EVENTS: dict[str, tuple[Callable[[StreamState], Any], tuple[str | None, str | None] | None]] = {
    # What happens: how a stream ends by it (error.type, agent.stream.end), or None if it does not.
    "chunk": (lambda state: next(streams.sync_reader(iter([{"id": "c"}]), state)), None),
    "library closes": (library_closes, None),
    "drained": (lambda state: state.drained(), (None, None)),
    "failed": (lambda state: state.failed(ValueError("theirs")), ("ValueError", None)),
    "closed": (lambda state: state.closing(), (None, "closed")),
    "left by error": (left_by_error, ("KeyError", None)),
    "dropped": (dropped, (None, "abandoned")),
    "exit": (lambda state: streams.abandon_live(), (None, "abandoned")),
}
SEQUENCES = [sequence for length in (1, 2, 3, 4) for sequence in product(EVENTS, repeat=length)]


def new_state() -> StreamState:
    request = Request("chat", "openai", model="gpt-5", stream=True)
    call = engine.begin("openai", lambda *_: (CHAT_API, request), None, (), {})
    assert call is not None
    assert CHAT_API.accumulator is not None
    return StreamState(call, CHAT_API.accumulator(False))


def expected(sequence: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Return the first end, or that of a stream that is dropped at last."""
    chunks = 0
    for name in (*sequence, "dropped"):
        chunks += name == "chunk"
        end = EVENTS[name][1]
        if end is not None:
            return end if chunks or end[1] != "abandoned" else (None, "never_iterated")
    raise AssertionError


def test_every_sequence_of_events_ends_once_and_for_good():
    with capture() as captured:
        for sequence in SEQUENCES:
            state = new_state()
            for name in sequence:
                EVENTS[name][0](state)
            dropped(state)
            span = captured.span()
            found = span.attributes or {}
            error, end = expected(sequence)
            assert (found.get(semconv.ERROR_TYPE), found.get(semconv.STREAM_END)) == (error, end), sequence
            assert span.status.status_code is (StatusCode.ERROR if error else StatusCode.UNSET), sequence
            captured.clear()
        assert streams._live == {}
        assert sum(point.count for point in captured.points("gen_ai.client.operation.duration")) == len(SEQUENCES)


def test_a_reader_hands_on_the_very_chunks():
    chunks = [object(), object()]
    with capture() as captured:
        assert all(given is made for given, made in zip(sync_reader(iter(chunks), new_state()), chunks, strict=True))
        assert captured.span().status.status_code is StatusCode.UNSET


def test_a_reader_hands_on_the_very_error():
    mine = ConnectionError("reset")

    async def chunks() -> AsyncIterator[str]:
        yield "chunk"
        raise mine

    async def read() -> None:
        async for _ in AsyncReader(chunks(), new_state()):
            pass

    with capture() as captured:
        with pytest.raises(ConnectionError) as caught:
            asyncio.run(read())
        assert caught.value is mine
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        assert (captured.span().attributes or {})[semconv.ERROR_TYPE] == "ConnectionError"
