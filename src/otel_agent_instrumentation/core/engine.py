# SPDX-License-Identifier: Apache-2.0
"""One lifecycle for every call: begin, the wrapped call alone in its `try`, end exactly once.

The wrappers made here are what the user's call runs through. The laws they keep (architecture.md, "Laws of the hot
path"): nothing of ours shares the `try` with the user's call, every way out ends the call (`BaseException`), the span
is current only while the library's own code runs, and a fault of ours costs one fact.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .contain import Contained
from .context import attach as _attach
from .context import current as _get_current
from .context import detach as _detach
from .context import ids_in
from .reaper import reaper
from .spec import Call
from .suppress import suppressed, told_above

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

    from .records import Announced, EventRecord
    from .runs import Run
    from .spec import Api, Observer, Request

    Begin = Callable[[Any, tuple[Any, ...], dict[str, Any]], tuple[Api, Request] | None]
    Finish = Callable[["Engine", Call, Any], Any]

# Not in OTel's context: a context that holds its call, which holds its context, would be garbage of the slow kind.
_calls: ContextVar[Call | None] = ContextVar("otel_agent_call", default=None)

_BEGIN = Contained("engine.begin")
_MOST_WAITING = 64
# A busy thread tells its own ends in bursts. Our thread is for those that nobody comes after: on a busy interpreter it
# costs dearly, as each release of the GIL wakes a thread that waits for it (3.11: ceval_gil.h, `take_gil`).
_SOON = 50_000_000  # ns
_WAIT = 0.2  # seconds
_RUNS = Contained("engine.runs")
_LEAVE = Contained("engine.leave")
_END = Contained("engine.end")
_EVENT = Contained("engine.event")
_FACT = Contained("engine.error_facts")
_RESULT = Contained("engine.result")


class Runs(Protocol):
    """Says which run a call belongs to, and where it hangs in the tree."""

    def enter(self, call: Call) -> None:
        """Set ``run``, ``cycle`` and, where there is no current span, what the call hangs ``above`` and in."""
        ...

    def leave(self, call: Call) -> None:
        """The call has ended."""
        ...

    def active(self) -> Run | None:
        """The run that is active in this thread or task (contracts 5), if any."""
        ...


class Engine:
    """The observers of this process, and the two verbs begin and end. One instance; see :data:`engine`."""

    def __init__(self) -> None:
        self.runs: Runs | None = None
        self.tell: Callable[[deque[Announced]], None] | None = None
        """Takes events of ours: makes them if anybody wants them, for OTel's logs and the ledger. See `announce`."""
        self.stand_down: Callable[[Call, Context], bool] | None = None
        self.defers = False
        """Whether the ends of calls may be told a moment later, on a thread of ours: the caller does not pay."""
        self.awaits: Callable[[float], bool] | None = None
        """Waits so many seconds for what telling needs and is being loaded; whether it is there."""
        self.enabled = False
        self._ended: deque[Call] = deque()
        self._events: deque[Announced] = deque()
        self._awaited = False
        self._drained = 0
        # Reentrant: telling may allocate, and a finaliser that runs then may end another call.
        self._telling = threading.RLock()
        self._told: tuple[Observer, ...] = ()
        self._beside: tuple[Observer, ...] = ()
        self._observers: tuple[tuple[Observer, Contained], ...] = ()
        self._starters: tuple[tuple[Callable[[Call], None], Contained], ...] = ()
        self._flushers: tuple[tuple[Callable[[], None], Contained], ...] = ()

    def observe(self, *observers: Observer) -> None:
        """Replace the observers, but for those that came by `add_observer`. Each is contained by itself."""
        self._told = observers
        self._arrange()

    def add_observer(self, observer: Observer) -> None:
        """Have ``observer`` told, too, before the last of the others: for who comes and goes at any time."""
        self._beside = (*self._beside, observer)
        self._arrange()

    def remove_observer(self, observer: Observer) -> None:
        """Tell it no more."""
        self._beside = tuple(one for one in self._beside if one is not observer)
        self._arrange()

    def _arrange(self) -> None:
        observers = (*self._told[:-1], *self._beside, *self._told[-1:])
        self._observers = tuple((item, Contained(f"{item.name}.on_end")) for item in observers)
        starts: list[tuple[Any, str]] = [(getattr(item, "on_start", None), item.name) for item in observers]
        self._starters = tuple((start, Contained(f"{name}.on_start")) for start, name in starts if start is not None)
        ends: list[tuple[Any, str]] = [(getattr(item, "flush", None), item.name) for item in observers]
        self._flushers = tuple((flush, Contained(f"{name}.flush")) for flush, name in ends if flush is not None)

    @property
    def observers(self) -> tuple[Observer, ...]:
        """The observers, in the order in which they are told."""
        return tuple(item for item, _ in self._observers)

    def begin(
        self, library: str, begin: Begin, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Call | None:
        """Start telling a call, or return None: suppressed, or not one of the library's APIs. To be contained."""
        if not self.enabled:
            return None
        context = _get_current()
        if context and suppressed(context):
            return None
        found = begin(instance, args, kwargs)
        if found is None or (context and told_above(context, found[1].operation)):
            return None
        call = Call(library, *found, context)
        if context:
            call.above = ids_in(context)
        if self.stand_down is not None and self.stand_down(call, context):
            return None
        if self.runs is not None:
            with _RUNS:  # by itself: a call without its run still has its span
                self.runs.enter(call)
        for on_start, contained in self._starters:
            with contained:
                on_start(call)
        return call

    def active(self, mode: Literal["active", "explicit", "off"]) -> Run | None:
        """The active run, if what has the setting ``mode`` is recorded in it, and nobody suppressed it here."""
        if not self.enabled or self.runs is None:
            return None
        call = _calls.get()
        if call is not None and call.api.durations is None:
            return None  # within a model call: the client's own doing, as openai's `uname`
        run = self.runs.active()
        if run is None or mode == "off" or (run.implicit and mode == "explicit") or suppressed(_get_current()):
            return None
        return run

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
            if call.error is not None:
                call.error_type = call.error_type or error_type(call.error)
                with _FACT:  # by itself: a property of somebody's exception
                    call.status_code = getattr(call.error, "status_code", None)
            elif call.response is not None and call.response.error is not None:
                call.error_type = call.response.error
            if self.runs is not None:
                with _RUNS:
                    self.runs.leave(call)
            self._hand_on(call, clock)

    def past(self, call: Call, seconds: float) -> None:
        """Tell a call that is over and was not seen: it began at its start and took so long. Its run is known."""
        for on_start, contained in self._starters:
            with contained:
                on_start(call)
        call.turn.clear()
        call.duration = seconds
        call.end_ns = call.start_ns + int(seconds * 1e9)
        self._hand_on(call, time.perf_counter_ns())

    def _hand_on(self, call: Call, clock: int) -> None:
        if not self.defers:
            self._tell(call)
            return
        self._ended.append(call)
        if not self._awaited:
            self._wait()
        elif len(self._ended) >= _MOST_WAITING or clock - self._drained > _SOON:
            self.drain()

    def announce(self, name: str, run: Run | None, make: Callable[[], EventRecord], context: Context | None) -> None:
        """Tell the event that ``make`` gives a moment later: safe in a finaliser, also of somebody's file."""
        if self.tell is not None:
            self._events.append((name, run, make, context))
            if not self._awaited:
                self._wait()

    def _wait(self) -> None:
        self._awaited = True  # one timer, whoever drains meanwhile: else each end would wake the thread
        reaper.at(time.monotonic() + _WAIT, self._due)

    def _tell(self, call: Call) -> None:
        for observer, on_end in self._observers:
            with on_end:
                observer.on_end(call)
        call.span = None

    def drain(self, wait: float = 0.0) -> None:
        """Tell the observers of the calls that ended and were not told yet, and have them do what they put off.

        Before a flush, a collection, an end.

        ``wait``: seconds to wait for what is being loaded; they are told then, there or not. Without them they stay
        untold until it is there.
        """
        self._drained = time.perf_counter_ns()
        if self.awaits is not None and not self.awaits(wait) and not wait:
            return
        with self._telling:
            while self._ended:
                call = self._ended.popleft()
                call.more = bool(self._ended)
                self._tell(call)
            if self.tell is None:
                self._events.clear()
            elif self._events:
                with _EVENT:
                    self.tell(self._events)
        for flush, contained in self._flushers:
            with contained:
                flush()

    def _due(self) -> None:
        self._awaited = False
        self.drain()
        if self._ended and not self._awaited:
            self._wait()

    def forget(self) -> None:
        """In a forked child: what ended before the fork is the parent's to tell."""
        self._ended.clear()
        self._events.clear()
        self.awaits = None
        self._awaited = False  # the timer is the parent's, too
        self._telling = threading.RLock()

    def fail(self, call: Call, error: BaseException) -> None:
        """End a call with the exception that its caller is about to see. Keeps no reference to it."""
        call.error = error
        self.end(call)
        call.error = None


def error_type(error: BaseException) -> str:
    """The convention's `error.type`: the class that the caller sees, by its qualified name without the module."""
    return type(error).__qualname__


def current_call() -> Call | None:
    """The call in whose library code we are, if any."""
    return _calls.get()


def tool_above(name: str, *, but: str = "") -> bool:
    """Whether another layer than the library ``but`` tells this run of the tool ``name`` already: once is enough."""
    call = _calls.get()
    return call is not None and call.request.tool == name and call.library != but


def detach(token: Any, context: Context | None, error: BaseException | None) -> None:
    """Take our context off again.

    A coroutine that the garbage collector or another loop closes sees `GeneratorExit` in a foreign context, where
    `detach` would log an error for a token that was never made there (opentelemetry-python#2606).
    """
    if token is None or (type(error) is GeneratorExit and _get_current() is not context):
        return
    _detach(token)


def _leave(mark: Any, token: Any, call: Call, error: BaseException) -> None:
    with _LEAVE:
        detach(token, call.context, error)
        if mark is not None:
            try:
                _calls.reset(mark)
            except ValueError:
                return  # closed in another context, which has its own value


engine = Engine()
"""The engine of this process."""


def sync_wrapper(library: str, begin: Begin, finish: Finish) -> Callable[..., Any]:
    """A wrapt wrapper for a plain function or method.

    `finish` reads the result's facts and ends the call, or hands the call to the stream that the result is.
    """

    def call_through(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = mark = token = None
        with _BEGIN:
            call = engine.begin(library, begin, instance, args, kwargs)
            if call is not None:
                mark = _calls.set(call)
                token = _attach(call.context)
        if call is None:
            return wrapped(*args, **kwargs)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            with _END:
                _leave(mark, token, call, error)
            with _END:
                engine.fail(call, error)
            raise
        with _RESULT:
            if mark is not None and token is not None:
                _detach(token)
                _calls.reset(mark)
            return finish(engine, call, result)
        # A fault in reading the answer: the call was made, and the answer is the caller's as it is.
        with _END:
            engine.end(call)
        return result

    return call_through


def async_wrapper(library: str, begin: Begin, finish: Finish) -> Callable[..., Any]:
    """A wrapt wrapper for a coroutine function or method. Declared by the table, never detected."""

    async def call_through(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = mark = token = None
        with _BEGIN:
            call = engine.begin(library, begin, instance, args, kwargs)
            if call is not None:
                mark = _calls.set(call)
                token = _attach(call.context)
        if call is None:
            return await wrapped(*args, **kwargs)
        try:
            result = await wrapped(*args, **kwargs)
        except BaseException as error:
            with _END:
                _leave(mark, token, call, error)
            with _END:
                engine.fail(call, error)
            raise
        with _RESULT:
            if mark is not None and token is not None:
                _detach(token)
                _calls.reset(mark)
            return finish(engine, call, result)
        with _END:
            engine.end(call)
        return result

    return call_through
