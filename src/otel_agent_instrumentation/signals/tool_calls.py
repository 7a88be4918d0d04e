# SPDX-License-Identifier: Apache-2.0
"""The tool calls that models asked for, until their results are sent back: so an unchanged agent's tools have spans.

A tool that nobody wraps is seen twice: its call in an answer, its result in a later request of the same run. Between
the two it ran, with whatever else the agent did: an upper bound, and said to be one. A tool that is measured (`@tool`,
MCP, a framework's runner) takes the id when it starts, and its result tells nothing more.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, Any, cast

import msgspec
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext

from .. import semconv
from ..core.context import with_span
from ..core.engine import engine
from ..core.spec import Api, Call, Request, Response, ToolCall
from ..core.tools import FAILED, Arguments
from ..metrics.labels import OTHER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..core.runs import Run

_MOST = 10_000
_LONGEST = 3600.0  # seconds
_MOST_BYTES = 2048
_MOST_LOOKED_AT = 64

_Key = tuple[str, str, str, str]
INFERRED = Api(
    semconv.EXECUTE_TOOL,
    lambda body, request: None,  # noqa: ARG005 - nothing is read: it is over
    lambda node: Response(),  # noqa: ARG005
    kind="INTERNAL",
    durations=(semconv.TOOL_CALLS,),
)


@dataclass(slots=True, eq=False)
class Asked:
    """A tool call that a model asked for. ``arguments``: JSON text, or a digest where that is long."""

    key: _Key
    name: str
    arguments: bytes | None
    declared: bool
    """Whether the request that was answered with it had a tool of that name."""
    library: str
    run: Run
    cycle: int
    above: SpanContext | None
    """The ids of the span that the model call hangs in: the tool's hangs beside it."""
    end_ns: int
    end_clock: int
    """When the answer had ended, by both clocks."""
    number: int
    """In the order in which they were asked."""


class ToolCalls:
    """Remembers at most 10,000 calls for an hour. Safe between threads; a forked child begins with none."""

    def __init__(self) -> None:
        self.clear()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.clear)

    def clear(self) -> None:
        """Forget all calls, and the count of those that expired."""
        self._asked: OrderedDict[_Key, Asked] = OrderedDict()
        self._by_name: dict[tuple[str, str], dict[str, Asked]] = {}
        self._by_id: dict[str, Asked] = {}
        self._expired: Counter[str] = Counter()
        self._numbers = count()
        # Reentrant: a signal's handler may make a call of its own.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._asked)

    def remember(self, call: Call, tools: Iterable[ToolCall]) -> None:
        """Note the ``tools`` that the answer of ``call`` asks for. The call's run and end are known."""
        run = call.run
        if run is None:
            return
        names = _declared(call.request.tools)
        end_clock = call.start_clock + int(call.duration * 1e9)
        with self._lock:
            for tool in tools:
                if tool.id is None or tool.name is None:
                    continue
                key = (call.request.provider, call.api.dialect, run.id, tool.id)
                self._take(key)
                self._asked[key] = one = Asked(
                    key,
                    tool.name,
                    _text(tool.arguments),
                    tool.name in names,
                    call.library,
                    run,
                    call.cycle,
                    call.above,
                    call.end_ns,
                    end_clock,
                    next(self._numbers),
                )
                self._by_name.setdefault((run.id, tool.name), {})[tool.id] = one
                self._by_id[tool.id] = one
            self._expire(end_clock)

    def answered(self, call: Call) -> list[Asked]:
        """Take the calls whose results the request of ``call`` sends back, in the order in which they were asked."""
        provider, dialect, run = call.request.provider, call.api.dialect, call.run
        if run is None:
            return []
        with self._lock:
            found = [self._take((provider, dialect, run.id, one)) for one in call.request.answers]
        return sorted((one for one in found if one is not None), key=lambda one: one.number)

    def measured(self, run: Run, tool: ToolCall) -> str | None:
        """The id of the call that a tool which starts now in ``run`` was asked by; it is taken. None: by none."""
        place = (run.id, tool.name or "")
        if tool.id is not None:
            with self._lock:
                one = self._by_name.get(place, {}).get(tool.id) or self._by_id.get(tool.id)
                if one is not None and one.run.id == run.id:
                    self._take(one.key)
            return tool.id
        while place in self._by_name:
            with self._lock:
                asked = list(islice(reversed(self._by_name.get(place, {}).values()), _MOST_LOOKED_AT))
            # Outside of the lock: the arguments are the caller's own objects.
            one = _matching(asked, tool.arguments)
            if one is None:
                return None
            with self._lock:
                if self._take(one.key) is one:
                    return one.key[3]
        return None

    def asker(self, call_id: str) -> Run | None:
        """The run in which a call of this id was asked for last and is not answered yet."""
        one = self._by_id.get(call_id)
        return one.run if one is not None else None

    def expired(self) -> dict[str, int]:
        """How many were forgotten without a result, by reason: `age`, `too_many`. A copy."""
        with self._lock:
            self._expire(time.perf_counter_ns())
            return dict(self._expired)

    def _take(self, key: _Key) -> Asked | None:
        one = self._asked.pop(key, None)
        if one is None:
            return None
        place = (key[2], one.name)
        named = self._by_name.get(place)
        if named is not None:
            named.pop(key[3], None)
            if not named:
                del self._by_name[place]
        if self._by_id.get(key[3]) is one:
            del self._by_id[key[3]]
        return one

    def _expire(self, clock: int) -> None:
        oldest = clock - int(_LONGEST * 1e9)
        while self._asked:
            key, one = next(iter(self._asked.items()))
            reason = "too_many" if len(self._asked) > _MOST else "age" if one.end_clock < oldest else None
            if reason is None:
                return
            self._take(key)
            self._expired[reason] += 1


tool_calls = ToolCalls()
"""Those of this process."""


def measured(run: Run, name: str, arguments: Any) -> str | None:
    """The id of the tool call that a measured tool which starts now takes, so that its result tells no second span.

    ``arguments``: a mapping or JSON text. None where no model asked for it. Tools of the engine need not call this:
    their request's `tool_call` says all.
    """
    return tool_calls.measured(run, ToolCall(None, name, arguments))


def infer(call: Call) -> None:
    """Tell the tools whose results the request of ``call``, which begins now, sends back: each once."""
    for one in tool_calls.answered(call):
        _tell(one, call)


def _tell(one: Asked, answer: Call) -> None:
    call_id = one.key[3]
    request = Request(semconv.EXECUTE_TOOL, name=f"{semconv.EXECUTE_TOOL} {one.name}", tool=one.name)
    request.attributes = {
        semconv.TOOL_CALL_ID: call_id,
        semconv.TOOL_TYPE: "function",
        semconv.TOOL_INFERRED: True,
        semconv.TOOL_TIME: "upper_bound",
    }
    if not one.declared:
        request.labels = {semconv.TOOL_NAME: OTHER}
    context = Context() if one.above is None else with_span(Context(), NonRecordingSpan(one.above))
    told = Call(one.library, INFERRED, request, context, start_ns=one.end_ns, start_clock=one.end_clock)
    told.run, told.cycle, told.above = one.run, one.cycle, one.above
    if call_id in answer.request.failed:
        told.error_type = FAILED
    engine.past(told, max(0, answer.start_clock - one.end_clock) / 1e9)


def _declared(tools: Any) -> set[str]:
    """The names in a request's list of tools: functions, and what the API itself brings."""
    names: set[str] = set()
    for tool in tools if isinstance(tools, (list, tuple)) else ():  # pyright: ignore[reportUnknownVariableType]
        name = _field(_field(tool, "function") or _field(tool, "custom") or tool, "name")
        names.add(name if isinstance(name, str) else f"{_field(tool, 'type')}_call")
    return names


def _field(node: Any, key: str) -> Any:
    return cast("dict[str, Any]", node).get(key) if isinstance(node, dict) else getattr(node, key, None)


def _text(arguments: Any) -> bytes | None:
    """JSON text of arguments, or a digest of long ones: they are kept for up to an hour."""
    if isinstance(arguments, str):
        raw = arguments.encode("utf-8", "surrogatepass")
    else:
        raw = msgspec.json.encode(arguments if arguments is not None else {})
    return raw if len(raw) <= _MOST_BYTES else _digest(raw)


def _digest(raw: bytes) -> bytes | None:
    try:
        return b"#" + hashlib.blake2b(msgspec.json.encode(msgspec.json.decode(raw), order="deterministic")).digest()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _matching(asked: list[Asked], arguments: Any) -> Asked | None:
    """The call with these arguments, ``asked`` last first: of the last answer that has one, the first of it."""
    given: Any = arguments.named() if isinstance(arguments, Arguments) else arguments
    if isinstance(given, str):
        given = _decoded(given.encode("utf-8", "surrogatepass"))
    given = {} if given is None else given
    best: Asked | None = None
    for one in asked:
        if best is not None and one.end_ns != best.end_ns:
            break
        if _same(one.arguments, given):
            best = one
    return best


def _same(raw: bytes | None, given: Any) -> bool:
    """Whether a tool was given what the model asked for; it may be given more (a session, a default)."""
    if raw is None:
        return False
    if raw.startswith(b"#"):
        return _digest(msgspec.json.encode(given)) == raw
    told = _decoded(raw or b"{}")
    if not isinstance(told, dict) or not isinstance(given, dict):
        return bool(told == given)
    wanted, has = cast("dict[str, Any]", told), cast("dict[str, Any]", given)
    if not wanted:
        return not has
    return all(key in has and bool(value == has[key]) for key, value in wanted.items())


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
