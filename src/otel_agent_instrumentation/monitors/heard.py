# SPDX-License-Identifier: Apache-2.0
"""What an agent tells the performance monitor by an event bus, under the document's names (P2).

A payload is read leniently: `toolName`, `tool_name` and the like are one. An event that does not fit (an end without
a start, the same twice, no name) is counted and costs itself; nothing here raises.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

from ..core.contain import warn_once
from ..core.spec import Usage
from .timers import Begun, Timers

if TYPE_CHECKING:
    from collections.abc import Callable

    from .. import semconv
    from .facts import Outcome
    from .keeper import Keeper

UNKNOWN = "unknown"
_MOST_STATES = 256
_TOOL = ("toolName", "tool_name", "tool", "name")
_CALL = ("callId", "call_id", "toolCallId", "tool_call_id", "id")
_REQUEST = ("requestId", "request_id", "id")
_MODEL = ("model", "modelName", "model_name")
_STATE = ("state", "to", "newState", "new_state")
_WHOSE = ("agentId", "agent_id", "agent", "persona", "sessionId", "session_id")
_PATH = ("path", "artifact", "artifactId", "artifact_id", "id", "name")
_STAMP = ("timestamp", "time", "ts")
_INPUT = ("input", "inputTokens", "input_tokens", "promptTokens", "prompt_tokens")
_OUTPUT = ("output", "outputTokens", "output_tokens", "completionTokens", "completion_tokens")
_READ = ("cache_read", "cacheRead", "cacheReadTokens", "cache_read_input_tokens", "cachedTokens", "cached_tokens")
_WRITE = ("cache_write", "cacheWrite", "cacheWriteTokens", "cache_creation_input_tokens")
_REASONING = ("reasoning", "reasoningTokens", "reasoning_tokens")
_COST = ("costUsd", "cost_usd")


class Heard:
    """The handlers, by event."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.tools = Timers()
        self.requests = Timers()
        self._states: OrderedDict[str, Begun] = OrderedDict()
        """The state that each agent is in."""
        self.handlers: dict[str, Callable[[Any], object]] = {
            "tool:start": self._tool_start,
            "tool:end": lambda told: self._tool_end(told, "ok"),
            "tool:error": lambda told: self._tool_end(told, "error"),
            "api:request:start": self._request_start,
            "api:request:end": lambda told: self._request_end(told, "ok"),
            "api:request:error": lambda told: self._request_end(told, "error"),
            "agent:state:change": self._state_change,
            "agent:state:exit": self._state_exit,
            "artifact:created": lambda told: self._artifact(told, "created"),
            "artifact:modified": lambda told: self._artifact(told, "modified"),
            "artifact:deleted": lambda told: self._artifact(told, "deleted"),
            "cycle:start": self._cycle,
            **dict.fromkeys(("session:start", "session:restart", "persona:start", "persona:restart"), self._anew),
        }
        keeper.at_reset.append(self._reset)

    def _reset(self) -> None:
        self.tools.reset()
        self.requests.reset()
        for begun in self._states.values():
            begun.stale = True

    def _anew(self, told: Any) -> None:  # noqa: ARG002 - a handler
        self._keeper.reset()

    # --- tools --------------------------------------------------------------------------------------------------------

    def _tool_start(self, told: Any) -> None:
        name = _text(told, _TOOL)
        if name is None:
            self._malformed("tool:start", "toolName")
            return
        self._begin(self.tools, told, _CALL, name)

    def _tool_end(self, told: Any, outcome: Outcome) -> None:
        ended = self._end(self.tools, told, _CALL, _text(told, _TOOL))
        if ended is not None:
            begun, seconds = ended
            self._keeper.tool("bus", begun.name, seconds, outcome)

    # --- requests to models -------------------------------------------------------------------------------------------

    def _request_start(self, told: Any) -> None:
        self._begin(self.requests, told, _REQUEST, _text(told, _MODEL) or UNKNOWN)

    def _request_end(self, told: Any, outcome: Outcome) -> None:
        model = _text(told, _MODEL)
        ended = self._end(self.requests, told, _REQUEST, model or UNKNOWN)
        if ended is not None:
            begun, seconds = ended
            name = begun.name if begun.name != UNKNOWN else model or UNKNOWN
            self._keeper.model("bus", name, seconds, outcome, usage=_usage(told), cost_usd=_number(told, _COST))

    # --- states -------------------------------------------------------------------------------------------------------

    def _state_change(self, told: Any) -> None:
        state, now = _text(told, _STATE), time.perf_counter_ns()
        if state is None:
            self._malformed("agent:state:change", "state")
            return
        whose = _text(told, _WHOSE) or ""
        with self._keeper.lock:
            known = self._states.get(whose)
            if known is not None and known.name == state and not known.stale:
                self._keeper.odd("doubled")
                return
            self._leave(known, now)
            self._states[whose] = Begun(state, now)
            if len(self._states) > _MOST_STATES:
                self._states.popitem(last=False)
            self._keeper.entered("bus", state)

    def _state_exit(self, told: Any) -> None:
        state, whose = _text(told, _STATE), _text(told, _WHOSE) or ""
        with self._keeper.lock:
            known = self._states.get(whose)
            if known is None or (state is not None and known.name != state):
                self._keeper.odd("unmatched")
                return
            del self._states[whose]
            self._leave(known, time.perf_counter_ns())

    def _leave(self, known: Begun | None, now: int) -> None:
        if known is not None and not known.stale:
            self._keeper.left("bus", known.name, (now - known.clock) / 1e9)

    def states(self) -> Counter[str]:
        """How many agents are in each state."""
        return Counter(begun.name for begun in self._states.values())

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _artifact(self, told: Any, change: semconv.ArtifactChange) -> None:
        with self._keeper.lock:
            self._keeper.facts.artifact(change, _text(told, _PATH))

    def _cycle(self, told: Any) -> None:  # noqa: ARG002 - a handler
        with self._keeper.lock:
            self._keeper.facts.cycles += 1

    def _begin(self, timers: Timers, told: Any, ids: tuple[str, ...], name: str) -> None:
        begun = Begun(name, time.perf_counter_ns(), _number(told, _STAMP))
        with self._keeper.lock:
            if not timers.begin(_text(told, ids), begun):
                self._keeper.odd("doubled")

    def _end(self, timers: Timers, told: Any, ids: tuple[str, ...], name: str | None) -> tuple[Begun, float] | None:
        """What ended, and how many seconds it took; None where that counts nowhere."""
        now, call_id = time.perf_counter_ns(), _text(told, ids)
        self._keeper.flush()  # who told it first is believed
        with self._keeper.lock:
            begun = timers.end(call_id, name or "")
            if begun is None:
                self._keeper.odd("doubled" if timers.has_ended(call_id) else "unmatched")
        if begun is None or begun.stale:
            return None
        stamp = _number(told, _STAMP)
        if begun.stamp is not None and stamp is not None and stamp >= begun.stamp:
            return begun, (stamp - begun.stamp) / 1000  # told late, it may be: the agent's own times are the truth
        return begun, (now - begun.clock) / 1e9

    def _malformed(self, event: str, field: str) -> None:
        self._keeper.odd("malformed")
        warn_once(
            f"monitor:{event}",
            "otel-agent: the performance monitor was told %r without %r; such events are counted and passed over.",
            event,
            field,
        )


def number(value: object) -> float | None:
    """A finite number, else None."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value) else None


def _get(told: Any, names: tuple[str, ...]) -> Any:
    if not isinstance(told, Mapping):
        return None
    found = cast("Mapping[str, Any]", told)
    return next((found[name] for name in names if found.get(name) is not None), None)


def _text(told: Any, names: tuple[str, ...]) -> str | None:
    value = _get(told, names)
    return None if value is None else str(value)


def _number(told: Any, names: tuple[str, ...]) -> float | None:
    return number(_get(told, names))


def _count(told: Any, names: tuple[str, ...]) -> int | None:
    value = _number(told, names)
    return int(value) if value is not None and value >= 0 else None


def _usage(told: Any) -> Usage | None:
    """The tokens of `usage`, of `tokens`, or of the payload itself. What is not there is not known."""
    inner = _get(told, ("usage", "tokens"))
    given: Any = cast("Any", inner) if isinstance(inner, Mapping) else told
    found = Usage(*(_count(given, names) for names in (_INPUT, _OUTPUT, _READ, _WRITE, _REASONING)))
    return found if found.input is not None or found.output is not None else None
