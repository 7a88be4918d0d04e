# SPDX-License-Identifier: Apache-2.0
"""Commands that run: a call that begins with the process and ends when its caller learns how the process ended.

Nothing here waits, polls or reads a pipe. A state is found by the caller's own process object, to which nothing is
added: it may be of anyone's class.
"""

from __future__ import annotations

import signal
import time
import weakref
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import semconv
from .contain import Contained
from .engine import engine, error_type
from .reaper import reaper
from .records import EventRecord
from .spec import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .spec import Call

_END = Contained("process.end")
_TELL = Contained("process.tell")
_STOPPED = frozenset({-getattr(signal, "SIGKILL", 9), -signal.SIGTERM})
LONGEST_DIGESTED = 16 * 1024 * 1024
"""Bytes of output beyond which only the size is told: the caller waits for the digest."""

_OUTPUTS = (
    (semconv.COMMAND_STDOUT_SIZE, semconv.COMMAND_STDOUT_DIGEST),
    (semconv.COMMAND_STDERR_SIZE, semconv.COMMAND_STDERR_DIGEST),
)

live: dict[int, Process] = {}
"""The commands that have not ended, by the id of their process object."""


@dataclass(slots=True)
class Command:
    """What is told of a command, redacted and bounded by whoever reads it off the caller's arguments."""

    name: str
    """The program's name without its folder."""
    arguments: Sequence[str]
    redacted: Sequence[int] = ()
    """Indices of the arguments that redaction changed."""
    told: dict[str, Any] = field(default_factory=dict[str, Any])
    """Attributes that its span gets at the end."""


class Process:
    """One command from its start to the end that its caller learns of."""

    __slots__ = (
        "_background",
        "_key",
        "_turn",
        "busy",
        "call",
        "command",
        "interrupted",
        "known",
        "last",
        "looped",
        "reference",
        "waiter",
    )

    def __init__(self, call: Call, instance: Any) -> None:
        self.call = call
        self.command: Command = call.request.body
        self.busy = 0
        """How many of the caller's threads or tasks wait for the process right now."""
        self.waiter = 0
        """The thread in a wait of `Popen`'s own, which may wait once more within it."""
        self.interrupted: tuple[str, str] | None = None
        """Class and message of what last ended such a waiting early: a timeout, a cancellation."""
        self.looped = False
        """An event loop runs it, and reaps it."""
        self.known: tuple[int, int] | None = None
        """Exit code and clock, where an event loop knows them and its caller does not yet."""
        self.last = call.start_clock
        self._turn = [None]
        # With pipes its caller is about to read: it holds an implicit run open, as a call does.
        self._background = instance.stdin is None and instance.stdout is None and instance.stderr is None
        self._key = key = id(instance)
        self.reference: Callable[[], Any] = weakref.ref(instance, lambda _: _dropped(key, self))
        self.command.told[semconv.PROCESS_PID] = instance.pid
        live[key] = self
        if call.run is not None:
            call.run.ending[self] = self._run_ends
            self._hold(-1 if self._background else 0)

    def _hold(self, change: int) -> None:
        run = self.call.run
        if run is not None:  # no lock: a finaliser of somebody's may poll its process while we hold it
            run.running += change
            run.last_ns = max(run.last_ns, time.time_ns())

    def enter(self) -> None:
        """The caller begins to wait. `communicate` and `with` do it within themselves once more."""
        self.busy += 1
        if self._background and self.busy == 1:
            self._hold(1)

    def leave(self, code: int | None, error: BaseException | None = None) -> None:
        """The caller waits no longer: it learnt the exit code, or was interrupted by ``error``."""
        self.busy -= 1
        if error is not None:
            self.interrupted = error_type(error), message_of(error)
        if self.busy <= 0:
            if self._background and self._turn:
                self._hold(-1)
            if code is not None and not (self.looped and self.known is None):
                self.learnt(code)

    def seen(self) -> None:
        """The caller asked, and the process goes on."""
        self.last = time.perf_counter_ns()
        self._hold(0)

    def output(self, result: Any) -> None:
        """What `communicate` returned, if ``result`` is that: sizes and digests are told, nothing of it is kept."""
        if type(result) is not tuple:
            return
        from hashlib import sha256

        told = self.command.told
        for value, (size, digest) in zip(result, _OUTPUTS, strict=True):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            if isinstance(value, (str, bytes)):
                data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
                told[size] = len(data)
                if len(data) <= LONGEST_DIGESTED:
                    told[digest] = f"sha256:{sha256(data).hexdigest()}"

    def learnt(self, code: int) -> None:
        """The caller knows the exit code; told once nobody waits for the output that comes with it."""
        if self.busy <= 0:
            self._end(code, None)

    def abandon(self, clock: int | None = None) -> None:
        """Nobody will learn it: the process object was dropped (at ``clock``), or its run or this process ends."""
        if self.known is not None:
            self._end(*self.known)
        else:
            self._end(None, clock)

    def _run_ends(self) -> None:
        # An implicit run ends at the time of its last call, and so does what is in it.
        run = self.call.run
        self.abandon(self.last if run is not None and run.implicit else None)

    def _end(self, code: int | None, clock: int | None) -> None:
        try:
            self._turn.pop()
        except IndexError:
            return
        if live.get(self._key) is self:
            del live[self._key]
        self.reference = _nothing  # it holds what holds it: without this, work for the garbage collector
        call = self.call
        if call.run is not None:
            call.run.ending.pop(self, None)
        if self._background:
            self._hold(1)  # the engine takes it off again
        with _END:
            self._facts(code)
        engine.end(call, end_clock=clock)
        with _TELL:
            completed(call)

    def _facts(self, code: int | None) -> None:
        if code is None:
            self.command.told[semconv.COMMAND_OUTCOME] = "unknown"
            self.call.response = Response(attributes=self.command.told)
            # How long it took is not known either: it enters no histogram.
            self.call.api = replace(self.call.api, durations=())
        else:
            stopped = self.interrupted if code in _STOPPED else None
            exited(self.call, code, stopped)


def exited(call: Call, code: int, interrupted: tuple[str, str] | None = None) -> None:
    """Put the end of a command among the facts of its call. ``interrupted``: class and message, if that stopped it."""
    told: dict[str, Any] = call.request.body.told
    told[semconv.PROCESS_EXIT_CODE] = code
    told[semconv.COMMAND_OUTCOME] = "killed" if code < 0 else "exited"
    call.response = Response(attributes=told)
    if interrupted is not None:
        call.error_type = interrupted[0]
        error(call, *interrupted)
    elif code:
        # Python's own word for it, whether its caller asked for the exception (`check=True`) or reads the code.
        call.error_type = "CalledProcessError"


def failed(call: Call, reason: BaseException) -> None:
    """End a command that could not be started, or whose call the caller sees fail."""
    with _END:
        call.request.body.told[semconv.COMMAND_OUTCOME] = "not_started"
        call.response = Response(attributes=call.request.body.told)
    engine.fail(call, reason)
    with _TELL:
        error(call, error_type(reason), message_of(reason))


def started(call: Call) -> None:
    """Tell that a command was started."""
    engine.announce(semconv.EVENT_COMMAND_STARTED, call.run, partial(_started, call), call.context)


def completed(call: Call) -> None:
    """Tell how a command ended, as far as its caller learnt it."""
    engine.announce(semconv.EVENT_COMMAND_COMPLETED, call.run, partial(_completed, call), call.context)


def error(call: Call, kind: str, message: str) -> None:
    """Tell of an exception that the agent's code got."""
    make = partial(_error, call, kind, message, time.time_ns())
    engine.announce(semconv.EVENT_EXECUTOR_ERROR, call.run, make, call.context)


def _started(call: Call) -> EventRecord:
    command: Command = call.request.body
    payload: dict[str, Any] = {"command": command.name, "arguments": list(command.arguments)}
    if command.redacted:
        payload[semconv.REDACTED_FIELDS] = [f"attributes.arguments[{index}]" for index in command.redacted]
    return _event(call, semconv.EVENT_COMMAND_STARTED, call.start_ns, payload)


def _completed(call: Call) -> EventRecord:
    told: dict[str, Any] = call.request.body.told
    payload: dict[str, Any] = {
        "command": call.request.body.name,
        "outcome": told.get(semconv.COMMAND_OUTCOME),
        "exit_code": told.get(semconv.PROCESS_EXIT_CODE),
        "duration_ms": round(call.duration * 1000, 3),
        "stdout_digest": told.get(semconv.COMMAND_STDOUT_DIGEST),
        "stderr_digest": told.get(semconv.COMMAND_STDERR_DIGEST),
        "stdout_size": told.get(semconv.COMMAND_STDOUT_SIZE),
        "stderr_size": told.get(semconv.COMMAND_STDERR_SIZE),
    }
    known = {key: value for key, value in payload.items() if value is not None}
    return _event(call, semconv.EVENT_COMMAND_COMPLETED, call.end_ns, known)


def _error(call: Call, kind: str, message: str, time_ns: int) -> EventRecord:
    # Whether the agent's code caught it is not ours to see: not by us.
    payload = {"command": call.request.body.name, "exception": kind, "message": message, "handled": False}
    return _event(call, semconv.EVENT_EXECUTOR_ERROR, time_ns, payload)


def _event(call: Call, name: str, time_ns: int, payload: dict[str, Any]) -> EventRecord:
    trace_id, span_id = (call.ids.trace_id, call.ids.span_id) if call.ids is not None else (0, 0)
    return EventRecord(name, time_ns, payload, trace_id, span_id, run=call.run, cycle=call.cycle)


def message_of(reason: BaseException) -> str:
    """An exception's message without the command line that some of the standard library's quote. Not yet redacted."""
    timeout = getattr(reason, "timeout", None)
    if timeout is not None:
        return f"timed out after {timeout:.3g} seconds" if isinstance(timeout, (int, float)) else "timed out"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return "" if hasattr(reason, "cmd") else str(reason)[:256]


def process_of(instance: Any) -> Process | None:
    """The recorded command that ``instance`` (a `subprocess.Popen`) runs, if it has not ended."""
    found = live.get(id(instance))
    return found if found is not None and found.reference() is instance else None


def _nothing() -> None:
    return None


def _dropped(key: int, process: Process) -> None:
    """The process object is gone. Inside the garbage collector: the end is left to the reaper."""
    if live.get(key) is process:
        del live[key]
    reaper.put(partial(process.abandon, time.perf_counter_ns()))


def abandon_live() -> None:
    """End the commands whose callers have not learnt their exit codes: at exit and before `uninstrument`."""
    for process in list(live.values()):
        process.abandon()


def forget_live() -> None:
    """In a forked child: the parent's commands are the parent's to tell."""
    live.clear()
