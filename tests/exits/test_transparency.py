# SPDX-License-Identifier: Apache-2.0
"""A stream is the same to whoever looks closely: its attributes, its side doors, and when each chunk comes."""

from __future__ import annotations

import gc
import inspect
from typing import TYPE_CHECKING, Any

import pytest
from exit_shapes import BARE, CHAT, HAS_RESPONSES, MESSAGES, RESPONSES, SHAPES, Call

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.testing.capture import capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from exit_shapes import Shape

pytestmark = pytest.mark.matrix
shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


def attributes(call: Call) -> Any:
    with call.block() as stream:
        response = stream.response
        told = sorted(vars(stream)), sorted(vars(response)), type(response), type(stream)
        return *told, response.status_code, list(map(repr, stream))


def stream_is_a_byte_stream(call: Call) -> Any:
    with call.block() as stream:
        return [base.__name__ for base in stream.response.stream.__class__.__mro__], list(map(repr, stream))


def read_by_next(call: Call) -> Any:
    stream = call.block()
    first = next(stream)
    return repr(first), [repr(chunk) for chunk in stream], next(stream, "over"), stream.response.is_closed


def raw_answer(call: Call) -> Any:
    raw = call._find(call.shape.resource).with_raw_response.create(**call.shape.arguments, stream=True)
    parsed = raw.parse()
    same = raw.parse() is parsed
    headers = dict(raw.headers.items())
    doors = raw.http_response is parsed.response, raw.status_code, raw.http_request.method
    return same, headers, doors, type(parsed), list(map(repr, parsed)), raw.elapsed is not None


def raw_answer_read_whole(call: Call) -> Any:
    raw = call._find(call.shape.resource).with_raw_response.create(**call.shape.arguments, stream=True)
    return raw.http_response.read(), raw.http_response.text


def door(name: str, *arguments: Any) -> Callable[[Call], Any]:
    """Read a `with_streaming_response` by one of its methods."""

    def read(call: Call) -> Any:
        with call.block() as response:
            found = getattr(response, name)(*arguments)
            return list(found) if inspect.isgenerator(found) else found

    read.__name__ = f"{name}{arguments or ''}"
    return read


DOORS = [
    ("create", attributes),
    ("create", stream_is_a_byte_stream),
    ("create", read_by_next),
    ("raw", raw_answer),
    ("raw", raw_answer_read_whole),
    *(
        ("lines", door(name, *arguments))
        for name, *arguments in (("read",), ("text",), ("iter_text",), ("iter_bytes", 7))
    ),
]


@shapes
@pytest.mark.parametrize(("api", "read"), DOORS, ids=lambda value: getattr(value, "__name__", None))
def test_every_door_shows_the_same(shape, api, read, provider):
    provider.reply = shape.reply
    with shape.open(provider.url, is_async=False) as client:
        plain = read(Call(shape, api, client))
        with capture() as captured:
            assert read(Call(shape, api, client)) == plain
            found = captured.span().attributes or {}
            assert (found.get(semconv.USAGE_OUTPUT_TOKENS), found.get(semconv.STREAM_END)) == (7, None)


HELPERS: list[tuple[Shape, Callable[[Any], Any]]] = [
    (CHAT, lambda stream: stream.get_final_completion()),
    (CHAT, lambda stream: stream.until_done().current_completion_snapshot),
    (MESSAGES, lambda stream: list(stream.text_stream)),
    (MESSAGES, lambda stream: (stream.get_final_message(), stream.get_final_text(), stream.response.status_code)),
]
if HAS_RESPONSES:
    HELPERS.append((RESPONSES, lambda stream: stream.get_final_response()))


@pytest.mark.parametrize(("shape", "use"), HELPERS)
def test_a_helper_helps_as_before(shape, use, provider):
    provider.reply = shape.reply

    def run() -> Any:
        with shape.open(provider.url, is_async=False) as client, Call(shape, "helper", client).block() as stream:
            return type(stream), repr(use(stream))

    plain = run()
    with capture() as captured:
        assert run() == plain
        assert (captured.span().attributes or {})[semconv.USAGE_OUTPUT_TOKENS] == 7


@shapes
@pytest.mark.parametrize("api", ["create", "helper", "raw", "lines", "parse"])
def test_a_chunk_comes_before_the_next_is_sent(shape, api, provider):
    """The provider goes quiet after one chunk: who read ahead would wait for it."""
    provider.reply = shape.reply.but(hang_after=1)
    with capture(), shape.open(provider.url, is_async=False, timeout=20) as client:
        call = Call(shape, api, client)
        with call.block() as held:
            assert next(iter(call.items(held)))


@shapes
@pytest.mark.parametrize("api", ["create", "helper", "raw", "lines", "parse"])
def test_a_dropped_stream_is_closed_as_soon_as_before(shape, api, provider):
    """Some clients take care that a dropped stream is no cycle, and closed at once: no tap may make it one."""
    provider.reply = shape.reply

    def closed(client: Any) -> bool:
        call = Call(shape, api, client)
        held = call.block() if api in BARE else call.block().__enter__()
        response = getattr(held, "response", None) or getattr(held, "http_response", None) or held._response
        for _ in call.items(held):
            break
        gc.disable()
        try:
            del held
            return response.is_closed
        finally:
            gc.collect()  # by hand: within a request it can lock an old httpcore up
            gc.enable()

    with shape.open(provider.url, is_async=False) as client:
        plain = closed(client)
        with capture():
            assert closed(client) == plain


@shapes
def test_a_manager_that_is_never_entered_makes_no_call(shape, provider):
    provider.clear()
    with capture() as captured, shape.open(provider.url, is_async=False) as client:
        for api in ("helper", "lines"):
            Call(shape, api, client).block()
        assert captured.spans(roots=True) == []
        assert provider.requests == []
