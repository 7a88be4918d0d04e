# SPDX-License-Identifier: Apache-2.0
"""Streams: a call that is handed on to its caller chunk by chunk, and ends once on every way out.

The caller's stream object stays what it is. Two things are put inside it: a tap around its private iterator, which
sees chunks and the exceptions that the caller sees, and a tap around the response's byte stream, which sees the
closing, by whatever object it is done (`stream.close()`, a helper's `with`, `stream.response.close()`).
"""

from __future__ import annotations

import sys
import time
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import wrapt

from .contain import Contained
from .contain import call as contained_call
from .context import attach as _attach
from .context import detach as _detach
from .engine import detach, engine
from .reaper import reaper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from .spec import Accumulator, Call

_clock = time.perf_counter_ns
_TAP = Contained("stream.tap")
_LEAVE = Contained("stream.leave")
_CHUNK = Contained("stream.chunk")
_END = Contained("stream.end")
_CLOSE = Contained("stream.close")
_DROP = Contained("stream.drop")
_EXIT = Contained("stream.exit")

leaving: ContextVar[BaseException | None] = ContextVar("otel_agent_leaving", default=None)
"""The exception with which the caller's `with` block of a stream is being left."""

_live: dict[int, StreamState] = {}


class StreamState:
    """One stream's facts and its end. Shared by the taps inside one stream object; refers to none of them.

    Whoever calls it from the caller's or the client's code contains it.
    """

    __slots__ = (
        "__weakref__",
        "_accumulator",
        "_over",
        "add",
        "call",
        "chunks",
        "context",
        "first",
        "last",
        "parsed",
        "reader",
        "reading",
    )

    def __init__(self, call: Call, accumulator: Accumulator) -> None:
        self.call = call
        self.context = call.context
        self.first = self.last = call.start_clock
        """When the first and the last chunk came, by `perf_counter_ns`."""
        self.reading = False
        """An async reader is inside the library's own reading."""
        self.parsed = False
        """A tap on the client's own iterator reads this stream, so the byte tap only watches for the close."""
        self.chunks = 0
        self._accumulator = accumulator
        self.reader: weakref.ref[Generator[Any]] | None = None
        """Who reads a sync stream: whether it runs need not be noted with every chunk."""
        self.add = accumulator.add
        self._over = False
        reaper.start()
        _live[id(self)] = self

    def adopt(self, accumulator: Accumulator) -> None:
        """The caller parses the bytes into a stream of chunks after all: gather from those."""
        self._accumulator = accumulator
        self.add = accumulator.add
        self.parsed = True

    def _is_reading(self) -> bool:
        """Inside the library's own reading: a close seen now is the library's, its outcome is about to be known."""
        reader: Any = self.reader() if self.reader is not None else None
        return self.reading if reader is None else reader.gi_running

    def drained(self) -> None:
        """The stream was read to its end."""
        self._end(None)

    def failed(self, error: BaseException) -> None:
        """Reading raised what the caller is about to see."""
        self.call.error = error
        self._end(None)
        self.call.error = None

    def closing(self) -> None:
        """The response is being closed: by the caller, by a `with` block, or by a dropped generator."""
        if self._over or self._is_reading():
            return
        if isinstance(sys.exc_info()[1], GeneratorExit):
            # A dropped generator closes its response, perhaps inside the garbage collector: take no lock here. Over the
            # bytes it is only a loop that was left: how, the answer's own `close` or its end will tell.
            if self.parsed:
                self.dropped()
            return
        error = leaving.get()
        if error is not None:
            self.failed(error)
        else:
            self._end("closed")

    def dropped(self) -> None:
        """Nobody holds the stream any more. Called by finalisers: the end is left to the reaper."""
        if not self._over:
            self._over = True
            reaper.put(self.abandon)

    def abandon(self) -> None:
        """End a stream that was left, at the time of its last chunk."""
        self._over = False
        self._end("abandoned" if self.chunks else "never_iterated", at_last=True)

    def _end(self, how: str | None, *, at_last: bool = False) -> None:
        if self._over:
            return
        self._over = True
        _live.pop(id(self), None)
        call = self.call
        with _END:
            call.chunks = self.chunks
            if self.chunks:
                call.first_chunk = (self.first - call.start_clock) / 1e9
            call.response = contained_call("stream.response", self._accumulator.response)
            if how is not None and not self._accumulator.complete:
                call.stream_end = how
        engine.end(call, end_clock=self.last if at_last else None)


def abandon_live() -> None:
    """End the streams that somebody still holds: at exit and before `uninstrument`."""
    for state in list(_live.values()):
        state.abandon()


def forget_live() -> None:
    """In a forked child: the parent's streams are the parent's to tell."""
    _live.clear()


def _left(state: StreamState, token: Any, error: BaseException | None) -> None:
    """Reading is over: drained, or with the ``error`` that the caller is about to see."""
    state.reading = False
    with _LEAVE:
        detach(token, state.context, error)
    if error is None:
        state.drained()
    elif isinstance(error, GeneratorExit):
        state.dropped()
    else:
        state.failed(error)


def sync_reader(inner: Iterator[Any], state: StreamState, *, tap: bool = False) -> Generator[Any]:
    """Read a sync iterator of chunks. As a ``tap`` it lives as long as the stream: without it, the stream is dropped.

    A generator, as the client's own iterator is one: it is also the cheapest thing to put in between.
    """
    reader = _sync_reader(inner, state, tap=tap)
    next(reader)  # begun, it sees its end also where nobody ever reads
    state.reader = weakref.ref(reader)
    return reader


def _sync_reader(inner: Iterator[Any], state: StreamState, *, tap: bool) -> Generator[Any]:
    # What a chunk costs here is instructions, run with cold caches: each counts, and a local variable is the cheapest.
    context, add = state.context, state.add
    chunk, begun = None, state.chunks > 0
    try:
        while True:
            yield chunk
            token = _attach(context)
            try:
                chunk = next(inner)
            except StopIteration:
                with _LEAVE:
                    _left(state, token, None)
                return
            except BaseException as error:
                with _LEAVE:
                    _left(state, token, error)
                raise
            try:  # a `with` and calls of our own would be paid for with every chunk
                _detach(token)
                state.last = _clock()
                state.chunks += 1
                if not begun:
                    begun, state.first = True, state.last
                add(chunk)
            except BaseException as fault:
                if not _CHUNK.swallows(fault):
                    raise
    except GeneratorExit:
        if tap:
            with _DROP:
                state.dropped()
        raise


class AsyncReader:
    """Around an async iterator of chunks."""

    __slots__ = ("__weakref__", "_inner", "_state")

    def __init__(self, inner: AsyncIterator[Any], state: StreamState) -> None:
        self._inner = inner
        self._state = state

    def __aiter__(self) -> AsyncReader:
        return self

    async def __anext__(self) -> Any:
        state = self._state
        inner = self._inner  # held by this frame: a collection amid the read then keeps the order of the client's own
        token = _attach(state.context)
        state.reading = True
        try:
            chunk = await inner.__anext__()
        except StopAsyncIteration:
            with _LEAVE:
                _left(state, token, None)
            raise
        except BaseException as error:
            with _LEAVE:
                _left(state, token, error)
            raise
        state.reading = False
        try:  # a `with` and calls of our own would be paid for with every chunk
            _detach(token)
            state.last = _clock()
            if not state.chunks:
                state.first = state.last
            state.chunks += 1
            state.add(chunk)
        except BaseException as fault:
            if not _CHUNK.swallows(fault):
                raise
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class AsyncTap(AsyncReader):
    """A reader that lives as long as the caller's stream: without it the stream is dropped."""

    __slots__ = ()

    def __del__(self) -> None:
        with _DROP:
            self._state.dropped()


class BodyTap(wrapt.ObjectProxy):  # pyright: ignore[reportMissingTypeArgument] - it has none at run time
    """Around a response's byte stream: sees it closed, and sees its bytes where no parsed stream is read.

    A proxy, not a class of our own: the HTTP client checks `isinstance(response.stream, SyncByteStream)`.
    """

    if TYPE_CHECKING:
        __wrapped__: Any
    _self_state: StreamState | None = None

    def __init__(self, wrapped: Any, state: StreamState) -> None:
        super().__init__(wrapped)  # pyright: ignore[reportUnknownMemberType] - wrapt has no types
        self._self_state = state

    def __iter__(self) -> Iterator[Any]:
        inner = iter(self.__wrapped__)
        with _TAP:
            state = self._self_state
            if state is not None and not state.parsed:
                # No tap: a loop over lines drops it at `break`, before its `with` or `close` tells how it is left.
                return sync_reader(inner, state)
        return inner

    def __aiter__(self) -> AsyncIterator[Any]:
        inner = self.__wrapped__.__aiter__()
        with _TAP:
            state = self._self_state
            if state is not None and not state.parsed:
                return AsyncReader(inner, state)
        return inner

    def close(self) -> Any:
        """Close the body; the caller's own exception passes."""
        with _CLOSE:
            if self._self_state is not None:
                self._self_state.closing()
        return self.__wrapped__.close()

    def aclose(self) -> Any:
        """The same for an async body: an awaitable."""
        with _CLOSE:
            if self._self_state is not None:
                self._self_state.closing()
        return self.__wrapped__.aclose()

    def __del__(self) -> None:
        with _DROP:
            if self._self_state is not None:
                self._self_state.dropped()


def state_of(body: Any) -> StreamState | None:
    """The stream that a response's ``body`` belongs to, if it is tapped."""
    return body._self_state if isinstance(body, BodyTap) else None  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def answer_close(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A wrapt wrapper for `close` of a client's raw answer, sync or async: its body may have been closed before."""
    with _CLOSE:
        state = state_of(instance.http_response.stream)
        if state is not None:
            state.closing()
    return wrapped(*args, **kwargs)


def _leaving(args: tuple[Any, ...]) -> Any:
    error = args[1] if len(args) > 1 else None
    return None if error is None or isinstance(error, GeneratorExit) else leaving.set(error)


def sync_exit(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - wrapt's signature
    """A wrapt wrapper for `__exit__` of a client's stream or manager: tells the taps why the block is left."""
    token = None
    with _EXIT:
        token = _leaving(args)
    try:
        return wrapped(*args, **kwargs)
    finally:
        with _EXIT:
            if token is not None:
                leaving.reset(token)


async def async_exit(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - wrapt's signature
    """The same for `__aexit__`."""
    token = None
    with _EXIT:
        token = _leaving(args)
    try:
        return await wrapped(*args, **kwargs)
    finally:
        with _EXIT:
            if token is not None:
                leaving.reset(token)
