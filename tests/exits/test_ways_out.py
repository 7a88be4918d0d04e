# SPDX-License-Identifier: Apache-2.0
"""Every way out of every stream: one span, ended as contracts 4 says, and a caller who notices nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import exit_ways as sync_ways
import exit_ways_async as async_ways
import pytest
from exit_harness import ENOUGH, SEEN, Outcome, Run, Seen, Way, counts_items
from exit_shapes import APIS, HAS_RESPONSES, SHAPES
from opentelemetry.trace import StatusCode

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.bootstrap import install
from otel_agent_instrumentation.core import streams
from otel_agent_instrumentation.core.reaper import reaper
from otel_agent_instrumentation.testing.capture import capture

if TYPE_CHECKING:
    from exit_shapes import Shape
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_agent_instrumentation.testing.capture import Captured
    from otel_agent_instrumentation.testing.provider import Reply

pytestmark = [
    pytest.mark.matrix,
    # What an old client warns of by itself, with and without us: the two runs are compared in any case.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

CANCELLED = "CancelledError"


def broken(shape: Shape) -> Reply:
    return shape.broken


def dying(shape: Shape) -> Reply:
    return shape.reply.but(die_after=3)


def hanging(shape: Shape) -> Reply:
    return shape.reply.but(hang_after=ENOUGH)


def only_head(shape: Shape) -> Reply:
    return shape.reply.but(hang_after=0)


def silent(shape: Shape) -> Reply:
    return shape.reply.but(hang=True)


def common(ways: Any) -> list[Way]:
    """The ways out that sync and async have in common."""
    return [
        Way("drained", ways.drain),
        Way("drained in a block", ways.drain_in_block),
        Way("break, kept", ways.break_and_keep, "abandoned"),
        Way("break, dropped", ways.break_and_drop, "abandoned"),
        Way("break, block left", ways.break_in_block, "closed"),
        Way("break, closed", ways.break_and_close, "closed"),
        Way("error in a block", ways.raise_in_block, error=SEEN),
        Way("error in a loop", ways.raise_in_loop, "abandoned"),
        Way("server dies", ways.drain, error=SEEN, reply=dying),
        Way("server dies in a block", ways.drain_in_block, error=SEEN, reply=dying),
        Way("error event", ways.drain, error=SEEN, reply=broken),
        Way("read timeout", ways.drain, error=SEEN, reply=hanging, read_timeout=0.25),
        Way("never iterated, dropped", ways.never_and_drop, "never_iterated", iterates=False),
        Way("never iterated, closed", ways.never_and_close, "closed", iterates=False),
        Way("never iterated, block left", ways.never_in_block, "closed", iterates=False),
        Way("caller's generator dropped", ways.generator_dropped, "abandoned"),
    ]


SYNC = common(sync_ways)
ASYNC = [
    *common(async_ways),
    Way("cancelled before the head", async_ways.drain, error=CANCELLED, reply=silent, cancel="sent", iterates=False),
    Way("cancelled before a chunk", async_ways.drain, error=CANCELLED, reply=only_head, cancel="head", iterates=False),
    Way("cancelled later", async_ways.drain, error=CANCELLED, reply=hanging, cancel="items"),
    Way("cancelled later in a block", async_ways.drain_in_block, error=CANCELLED, reply=hanging, cancel="items"),
    Way("cancelled in the body", async_ways.wait_in_block, error=CANCELLED, cancel="body"),
    Way("asyncio.timeout", async_ways.timeout_in_body, error=CANCELLED, reply=hanging),
]
CELLS = [
    pytest.param(shape, api, way, is_async, id=f"{shape.name}-{'async' if is_async else 'sync'}-{api}-{way.name}")
    for shape in SHAPES
    for is_async, ways in ((False, SYNC), (True, ASYNC))
    for api in APIS
    for way in ways
]


def settled(captured: Captured, way: Way, seen: Seen) -> bool:
    """Whether the call's span has left. A stream that is kept has none before the exit."""
    if seen.kept is not None:
        assert captured.calls() == []
        assert seen.kept
        install.close_open()
        assert len(captured.calls()) == 1
    return bool(captured.calls())


@pytest.mark.parametrize(("shape", "api", "way", "is_async"), CELLS)
def test_one_span_and_the_caller_notices_nothing(shape, api, way, is_async, provider):
    run = Run(shape, api, way, provider)
    plain = run.go(is_async=is_async)
    assert (plain.strayed, plain.logged) == ([], [])
    assert bool(plain.items) == way.iterates, plain
    run.items = len(plain.items)
    with capture() as captured:
        run.settled = lambda seen: settled(captured, way, seen)
        outcome = run.go(is_async=is_async)
        check_span(captured.span(), run, outcome)
        reaper.drain()  # the thread that ended a dropped stream may be about to measure it
        assert sum(point.count for point in captured.points("gen_ai.client.operation.duration")) == 1
        assert streams._live == {}
    assert outcome == plain
    assert outcome.noise_is_the_clients(plain, way), (outcome.noise, plain.noise)


def check_span(span: ReadableSpan, run: Run, outcome: Outcome) -> None:
    """The span says what contracts 4 wants, and keeps what was seen."""
    way, shape, found = run.way, run.shape, dict(span.attributes or {})
    error = way.error
    if error == SEEN:
        error = outcome.error.partition(":")[2] if outcome.error else None
        if (run.api, way.name) == ("lines", "error event"):
            # A line like any other, of which the client makes no exception: the API's own word is told.
            assert error is None
            error = shape.error_code
        assert error
    assert span.status.status_code is (StatusCode.ERROR if error else StatusCode.UNSET)
    assert span.status.description is None
    assert found.get(semconv.ERROR_TYPE) == error
    assert found.get(semconv.STREAM_END) == way.end
    facts = shape.facts_seen(any_item=way.iterates, all_items=way.name.startswith("drained"))
    assert {key: value for key, value in found.items() if key in _ANSWER} == facts
    if counts_items(run.api):
        assert found[semconv.STREAM_CHUNKS] == len(outcome.items)
    assert bool(found[semconv.STREAM_CHUNKS]) == bool(outcome.items) == way.iterates
    assert (semconv.RESPONSE_TIME_TO_FIRST_CHUNK in found) == way.iterates
    assert span.end_time is not None
    assert span.start_time is not None
    assert span.end_time >= span.start_time


_ANSWER = (semconv.RESPONSE_ID, semconv.RESPONSE_MODEL, semconv.USAGE_INPUT_TOKENS, semconv.USAGE_OUTPUT_TOKENS)


def test_the_row_has_the_responses_api():
    if not HAS_RESPONSES:
        pytest.skip("needs: package openai>=1.66")
    assert "openai" in sys.modules
