# SPDX-License-Identifier: Apache-2.0
"""Blocks of the run API as decorators: of functions, coroutines, generators and async generators."""

from __future__ import annotations

import functools
import inspect
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ..core import contain, runs
from ..core.contain import Contained
from ..core.context import attach
from ..core.context import current as current_context

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from opentelemetry.context import Context

    from ..core.runs import Place

P = ParamSpec("P")
R = TypeVar("R")

_READ = Contained("block.read")


def decorated(again: Callable[[], Any], function: Callable[P, R]) -> Callable[P, R]:
    """``function``, of whatever kind, with each of its calls in a block that ``again`` makes. To be contained."""
    if inspect.isasyncgenfunction(function):
        return _async_generators(again, function)
    if inspect.isgeneratorfunction(function):
        return _generators(again, function)
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def one_awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
            block = contain.call("block", again)
            if block is None:
                return await function(*args, **kwargs)
            with block:
                value = await function(*args, **kwargs)
                with _READ:
                    block.read(value)
                return value

        return one_awaited  # type: ignore[return-value]

    @functools.wraps(function)
    def one(*args: P.args, **kwargs: P.kwargs) -> R:
        block = contain.call("block", again)
        if block is None:
            return function(*args, **kwargs)
        with block:
            value = function(*args, **kwargs)
            with _READ:
                block.read(value)
            return value

    return one


class _Lane:
    """What is current for the body of a generator: put on while it runs, taken off while its consumer's code does."""

    __slots__ = ("_other",)

    def __init__(self) -> None:
        self._other: tuple[Place | None, Context] = (runs.raw(), current_context())

    def switch(self) -> None:
        place, context = self._other
        self._other = (runs.raw(), current_context())
        runs.put(place)
        attach(context)


def _generators(again: Callable[[], Any], function: Callable[..., Any]) -> Any:
    @functools.wraps(function)
    def one(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        block, inner = contain.call("block", again), function(*args, **kwargs)
        if block is None:
            return (yield from inner)  # pyright: ignore[reportUnknownVariableType] - the body's own
        lane = _Lane()
        with block:
            step, given = inner.send, None
            while True:
                try:
                    item = step(given)
                except StopIteration as stop:
                    return stop.value
                lane.switch()
                try:
                    given = yield item
                    step = inner.send
                except GeneratorExit:
                    lane.switch()
                    inner.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - the consumer's `throw`, for the body to see
                    step, given = inner.throw, error
                lane.switch()

    return one


def _async_generators(again: Callable[[], Any], function: Callable[..., Any]) -> Any:
    @functools.wraps(function)
    async def one(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        block, inner = contain.call("block", again), function(*args, **kwargs)
        if block is None:
            block = nullcontext()
        lane = _Lane()
        with block:
            step, given = inner.asend, None
            while True:
                try:
                    item = await step(given)
                except StopAsyncIteration:
                    return
                lane.switch()
                try:
                    given = yield item
                    step = inner.asend
                except GeneratorExit:
                    lane.switch()
                    await inner.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - the consumer's `athrow`, for the body to see
                    step, given = inner.athrow, error
                lane.switch()

    return one
