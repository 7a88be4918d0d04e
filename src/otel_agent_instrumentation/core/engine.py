# SPDX-License-Identifier: Apache-2.0
"""One lifecycle for every call: begin, the wrapped call alone in its `try`, end exactly once.

The wrappers made here are what the user's call runs through. The laws they keep (architecture.md, "Laws of the hot
path"): nothing of ours shares the `try` with the user's call, every way out ends the call (`BaseException`), the span
is current only while the library's own code runs, and a fault of ours costs one fact.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import context as otel_context

from .contain import Contained
from .spec import Call
from .suppress import suppressed

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

    from .spec import Api, Observer, Request

    Begin = Callable[[Any, tuple[Any, ...], dict[str, Any]], tuple[Api, Request] | None]
    Finish = Callable[["Engine", Call, Any], Any]

CALL_KEY = "otel_agent_call"

_BEGIN = Contained("engine.begin")
_END = Contained("engine.end")
_RESULT = Contained("engine.result")
_attach = otel_context.attach
_get_current = otel_context.get_current


class Runs(Protocol):
    """Says which run a call belongs to, and where it hangs in the tree."""

    def enter(self, call: Call, context: Context) -> None:
        """Set ``run``, ``cycle`` and, where there is no current span, ``parent`` of the call."""
        ...

    def leave(self, call: Call) -> None:
        """The call has ended."""
        ...


class Engine:
    """The observers of this process, and the two verbs begin and end. One instance; see :data:`engine`."""

    def __init__(self) -> None:
        self.runs: Runs | None = None
        self.stand_down: Callable[[Call, Context], bool] | None = None
        self.enabled = False
        self._observers: tuple[tuple[Observer, Contained, Contained], ...] = ()

    def observe(self, *observers: Observer) -> None:
        """Replace the observers. Each is contained by itself."""
        self._observers = tuple(
            (item, Contained(f"{item.name}.on_start"), Contained(f"{item.name}.on_end")) for item in observers
        )

    @property
    def observers(self) -> tuple[Observer, ...]:
        """The observers, in the order in which they are told."""
        return tuple(item for item, _, _ in self._observers)

    def begin(self, library: str, begin: Begin, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """Start telling a call, or return None: suppressed, not one of the library's APIs, or a fault of ours."""
        if not self.enabled:
            return None
        call: Call | None = None
        context = _get_current()
        with _BEGIN:
            if suppressed(context):
                return None
            found = begin(instance, args, kwargs)
            if found is None:
                return None
            call = Call(library, *found)
            if self.stand_down is not None and self.stand_down(call, context):
                return None
            if self.runs is not None:
                self.runs.enter(call, context)
            for observer, on_start, _ in self._observers:
                with on_start:
                    observer.on_start(call)
            # Told to the library's own hooks (retries, native spans) through the context.
            call.context = otel_context.set_value(CALL_KEY, call, call.context or call.parent or context)
        if call is not None and call.context is None:
            call.context = context  # after a fault above: what was started still gets its end
        return call

    def end(self, call: Call, *, end_clock: int | None = None) -> None:
        """End a call once; later ends are ignored. ``end_clock``: `perf_counter_ns` of its last activity, else now."""
        try:
            call.turn.pop()
        except IndexError:
            return
        with _END:
            clock = end_clock if end_clock is not None else time.perf_counter_ns()
            call.duration = (clock - call.start_clock) / 1e9
            # One clock for both ends: a step of the wall clock during the call cannot make a negative duration.
            call.end_ns = call.start_ns + (clock - call.start_clock)
            if call.error is not None and call.error_type is None:
                call.error_type = error_type(call.error)
            for observer, _, on_end in self._observers:
                with on_end:
                    observer.on_end(call)
            if self.runs is not None:
                self.runs.leave(call)
            call.span = None

    def fail(self, call: Call, error: BaseException) -> None:
        """End a call with the exception that its caller is about to see. Keeps no reference to it."""
        call.error = error
        self.end(call)
        call.error = None

    def finish(self, call: Call, finish: Finish, result: Any) -> Any:
        """Read the result's facts and end the call, or hand the call to the stream that the result is."""
        with _RESULT:
            return finish(self, call, result)
        # A fault in reading the answer: the call was made, and the answer is the caller's as it is.
        self.end(call)
        return result


def error_type(error: BaseException) -> str:
    """The convention's `error.type`: the class that the caller sees, by its qualified name without the module."""
    return type(error).__qualname__


def current_call() -> Call | None:
    """The call in whose library code we are, if any."""
    value = otel_context.get_value(CALL_KEY)
    return value if isinstance(value, Call) else None


def detach(token: Any, context: Context | None, error: BaseException | None) -> None:
    """Take our context off again.

    A coroutine that the garbage collector or another loop closes sees `GeneratorExit` in a foreign context, where
    `detach` would log an error for a token that was never made there (opentelemetry-python#2606).
    """
    if isinstance(error, GeneratorExit) and _get_current() is not context:
        return
    otel_context.detach(token)


engine = Engine()
"""The engine of this process."""


def sync_wrapper(library: str, begin: Begin, finish: Finish) -> Callable[..., Any]:
    """A wrapt wrapper for a plain function or method."""

    def call_through(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = engine.begin(library, begin, instance, args, kwargs)
        if call is None or call.context is None:
            return wrapped(*args, **kwargs)
        token = _attach(call.context)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            detach(token, call.context, error)
            engine.fail(call, error)
            raise
        detach(token, call.context, None)
        return engine.finish(call, finish, result)

    return call_through


def async_wrapper(library: str, begin: Begin, finish: Finish) -> Callable[..., Any]:
    """A wrapt wrapper for a coroutine function or method. Declared by the table, never detected."""

    async def call_through(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = engine.begin(library, begin, instance, args, kwargs)
        if call is None or call.context is None:
            return await wrapped(*args, **kwargs)
        token = _attach(call.context)
        try:
            result = await wrapped(*args, **kwargs)
        except BaseException as error:
            detach(token, call.context, error)
            engine.fail(call, error)
            raise
        detach(token, call.context, None)
        return engine.finish(call, finish, result)

    return call_through
