# SPDX-License-Identifier: Apache-2.0
"""Loops that get nowhere: the same call with the same arguments, again and again, in one run.

A streak is a call that comes again before so many others have come between as the setting says; at that count it is
told, once. So an agent that turns between two or three calls is told, and one that reads a file now and then is not.
"""

from __future__ import annotations

import time
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast

from opentelemetry._logs import SeverityNumber
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from .. import semconv
from ..core import records
from ..core.settings import current as settings
from ..core.tools import Arguments
from .attributes import of_run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry._logs import Logger

    from ..core.runs import Run
    from ..core.spec import Call, ToolCall
    from .metrics import Metrics

_SIMPLE = frozenset({str, int, float, bool, bytes, type(None)})
_MOST_ITEMS = 64
_DEEPEST = 16
_LEAST = 2


class Streaks:
    """The calls of one kind in one run, as far back as a streak goes."""

    __slots__ = ("_count", "_seen")

    def __init__(self) -> None:
        self._count = 0
        self._seen: dict[int, tuple[int, int]] = {}

    def add(self, mark: int, most: int) -> bool:
        """Take one call; whether its streak has just become ``most`` calls long."""
        self._count = now = self._count + 1
        times = self._seen.pop(mark, (0, 0))[0] + 1
        self._seen[mark] = times, now
        # They stand in the order of their last time, and each call makes at most one of them too old.
        first = next(iter(self._seen))
        if now - self._seen[first][1] >= most:
            del self._seen[first]
        return times == most


class UnmarkedError(Exception):
    """What was given is no plain data: whether it is the same again cannot be said."""


def mark_of(value: Any, depth: int = 0) -> Any:
    """Plain ``value`` as something to be hashed. Raises `UnmarkedError` where an object of the caller's is in it.

    Never by identity: the next object may stand where the last one was.
    """
    kind = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind in _SIMPLE:
        return value
    if depth < _DEEPEST:
        if kind is dict:
            entries = islice(cast("dict[Any, Any]", value).items(), _MOST_ITEMS)
            return (len(value), *((mark_of(key, _DEEPEST), mark_of(item, depth + 1)) for key, item in entries))
        if kind is list or kind is tuple:
            return (len(value), *(mark_of(item, depth + 1) for item in islice(value, _MOST_ITEMS)))
        if isinstance(value, PurePath):
            return str(value)
    raise UnmarkedError


class Loops:
    """Counts the calls of every run, and tells `agent.loop.suspected`. An observer, of model calls."""

    name = "loops"

    def __init__(self, logger: Logger, measured: Metrics) -> None:
        self._logger = logger
        self._measured = measured

    def on_end(self, call: Call) -> None:
        """Count a model call: what it asks is in its request's mark."""
        request = call.request
        if request.mark is not None:
            self._see(call, "model", request.model or request.provider, hash((request.model, request.mark)))

    def asked(self, call: Call, tools: Iterable[ToolCall]) -> None:
        """The tool calls that a model asks for."""
        for tool in tools:
            self._tool(call, tool, tool.arguments)

    def ran(self, call: Call, tool: ToolCall) -> None:
        """A tool call that no model asked for: the agent's own."""
        given = tool.arguments
        if isinstance(given, Arguments):
            args, kwargs = given.given
            # The instance that a method is called on is one that lives on.
            given = (id(args[0]), args[1:], kwargs) if given.method and args else (args, kwargs)
        self._tool(call, tool, given)

    def _tool(self, call: Call, tool: ToolCall, given: Any) -> None:
        try:
            mark = hash((tool.name, mark_of(given)))
        except UnmarkedError:
            return
        self._see(call, "tool", tool.name or "", mark)

    def _see(self, call: Call, kind: str, name: str, mark: int) -> None:
        run = call.run
        if run is None:
            return
        most = max(_LEAST, settings().loop_calls)
        with run.lock:
            streaks: Streaks = run.scratch.get(kind) or run.scratch.setdefault(kind, Streaks())
            suspected = streaks.add(mark, most)
        if suspected:
            self._tell(call, run, kind, name, most)

    def _tell(self, call: Call, run: Run, kind: str, name: str, count: int) -> None:
        told = {
            semconv.LOOP_KIND: kind,
            semconv.TOOL_NAME if kind == "tool" else semconv.REQUEST_MODEL: name,
            semconv.LOOP_COUNT: count,
        }
        now = call.end_ns or time.time_ns()
        self._measured.loop(kind, run)
        self._measured.event(semconv.EVENT_LOOP, told, run)
        self._logger.emit(
            timestamp=now,
            context=run.context or call.context,
            severity_number=SeverityNumber.WARN,
            event_name=semconv.EVENT_LOOP,
            attributes={**of_run(run, call.cycle), **told},
        )
        if records.wanted():
            ids = call.ids or call.above or INVALID_SPAN_CONTEXT
            records.emit(
                records.EventRecord(semconv.EVENT_LOOP, now, told, ids.trace_id, ids.span_id, run=run, cycle=call.cycle)
            )
