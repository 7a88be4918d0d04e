# SPDX-License-Identifier: Apache-2.0
"""Generators that are tools: one span from the first step to the last, ended once on every way out.

Python's own `yield from` with two things added: the span is current while the tool's code runs, and only then, and
what ends the iteration ends the span. A generator that is dropped or closed is told at the time of its last step.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..core.contain import Contained
from ..core.context import attach
from ..core.engine import detach, engine
from ..core.spec import Response
from ..core.streams import StreamState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from ..core.engine import Begin

_BEGIN = Contained("tool.begin")
_STEP = Contained("tool.step")
_LEFT = Contained("tool.left")


class _Nothing:
    """A tool's stream has no facts of its own."""

    complete = False

    def add(self, chunk: Any) -> None:
        """Nothing is read of what a tool yields."""

    def response(self) -> Response:
        """No facts."""
        return Response()


def _begun(library: str, begin: Begin, args: tuple[Any, ...], kwargs: dict[str, Any]) -> StreamState | None:
    with _BEGIN:
        call = engine.begin(library, begin, None, args, kwargs)
        return StreamState(call, _Nothing()) if call is not None else None
    return None


def _enter(state: StreamState | None) -> Any:
    with _STEP:
        return attach(state.context) if state is not None else None
    return None


def _stepped(state: StreamState | None, token: Any) -> None:
    """The tool has yielded: its caller's code runs next."""
    if state is None:
        return
    with _STEP:
        detach(token, state.context, None)
        state.last = time.perf_counter_ns()
        if not state.chunks:
            state.first = state.last
        state.chunks += 1


def _over(state: StreamState | None, token: Any, error: BaseException | None) -> None:
    """The tool's code is over: it returned, or raised what its caller is about to see."""
    if state is None:
        return
    with _LEFT:
        detach(token, state.context, error)
    with _LEFT:
        if error is None:
            state.drained()
        elif isinstance(error, GeneratorExit):
            state.dropped()  # perhaps within the garbage collector: the end is left to a thread of ours
        else:
            state.failed(error)


def synchronous(library: str, function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    """A generator function around ``function``, which is one."""

    def stepped(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        inner: Any = function(*args, **kwargs)
        state = _begun(library, begin, args, kwargs)
        step: Any = inner.send
        given: Any = None
        while True:
            token = _enter(state)
            try:
                item = step(given)
            except StopIteration as stop:
                _over(state, token, None)
                return stop.value
            except BaseException as error:
                step = given = None  # else what was thrown in would hold this frame, which holds it
                _over(state, token, error)
                raise
            _stepped(state, token)
            try:
                step, given = inner.send, (yield item)
            except GeneratorExit as left:
                token = _enter(state)
                try:
                    inner.close()
                except BaseException as error:
                    _over(state, token, error)
                    raise
                _over(state, token, left)
                raise
            except BaseException as thrown:  # noqa: BLE001 - the tool's to handle, as without us
                step, given = inner.throw, thrown

    return stepped


def asynchronous(library: str, function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    """An async generator function around ``function``, which is one."""

    async def stepped(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        inner: Any = function(*args, **kwargs)
        state = _begun(library, begin, args, kwargs)
        step: Any = inner.asend
        given: Any = None
        while True:
            token = _enter(state)
            try:
                item = await step(given)
            except StopAsyncIteration:
                _over(state, token, None)
                return
            except BaseException as error:
                step = given = None  # else what was thrown in would hold this frame, which holds it
                _over(state, token, error)
                raise
            _stepped(state, token)
            try:
                step, given = inner.asend, (yield item)
            except GeneratorExit as left:
                token = _enter(state)
                try:
                    await inner.aclose()
                except BaseException as error:
                    _over(state, token, error)
                    raise
                _over(state, token, left)
                raise
            except BaseException as thrown:  # noqa: BLE001 - the tool's to handle, as without us
                step, given = inner.athrow, thrown

    return stepped
