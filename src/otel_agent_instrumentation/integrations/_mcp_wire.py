# SPDX-License-Identifier: Apache-2.0
"""What travels in a request's `_meta`, out and in, and which run and span a request from a peer belongs to.

`traceparent` and `tracestate` under their own names, as SEP-414 says; baggage is never added by us. Run id and cycle
under `agent.run`, and only between a process and the stdio server that it started: taken over below it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from opentelemetry import baggage, propagate
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .. import semconv
from ..core import runs
from ..core.context import current, with_span
from ..core.runs import Run
from ..core.settings import current as settings

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from ..core.spec import Call
    from ._mcp_transports import Transport

_DEFAULT = [TraceContextTextMapPropagator, W3CBaggagePropagator]
_W3C = TraceContextTextMapPropagator()
_TRACE, _STATE = "traceparent", "tracestate"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_MOST_CYCLES = 10**9

_flying: dict[int, list[Call]] = {}
"""The requests that are under way, by the identity of the session or dispatcher that sent them."""


def fly(sender: Any, call: Call) -> None:
    """``call`` is under way until `land`."""
    _flying.setdefault(id(sender), []).append(call)


def land(sender: Any, call: Call) -> None:
    """``call`` has come back."""
    calls = _flying.get(id(sender))
    if calls is not None and call in calls:
        calls.remove(call)
        if not calls:
            _flying.pop(id(sender), None)


def trace_of(call: Call) -> dict[str, str]:
    """`traceparent` and, where there is one, `tracestate` of the call's span."""
    ids = call.ids
    if ids is None:
        return {}
    found = {_TRACE: f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{ids.trace_flags:02x}"}
    if ids.trace_state:
        found[_STATE] = ids.trace_state.to_header()
    return found


_usual: tuple[Any, bool] = (None, False)


def is_usual(context: Context) -> bool:
    """Whether propagation writes what `trace_of` tells and no more: the default, where ``context`` has no baggage."""
    global _usual  # noqa: PLW0603 - looked up again where somebody sets another propagator
    propagator = propagate.get_global_textmap()
    if propagator is not _usual[0]:
        kinds: list[Any] = [type(part) for part in getattr(propagator, "_propagators", ())]
        _usual = propagator, type(propagator) is CompositePropagator and kinds == _DEFAULT
    return _usual[1] and not baggage.get_all(context)


def run_of(call: Call, transport: Transport | None) -> dict[str, Any]:
    """Run id and cycle, for a server that this process started; nothing for any other."""
    if call.run is None or transport is None or not transport.own:
        return {}
    return {semconv.MCP_RUN_KEY: {"id": call.run.id, "cycle": call.cycle}}


def with_entries(params: Any, entries: Mapping[str, Any]) -> dict[str, Any]:
    """``params`` with ``entries`` in its `_meta`, as a new object. What the caller has put there stays."""
    given: dict[str, Any] = params or {}
    return {**given, "_meta": {**entries, **(given.get("_meta") or {})}}


def run_in(meta: Any, transport: Transport | None) -> Run | None:
    """The run that a request from the process that started us belongs to. Whatever else a peer says is not believed."""
    if transport is None or not transport.own:
        return None
    told = _entry(meta, semconv.MCP_RUN_KEY)
    if not isinstance(told, Mapping):
        return None
    known = cast("Mapping[str, Any]", told)
    name, cycle = known.get("id"), known.get("cycle")
    if not isinstance(name, str) or _RUN_ID.fullmatch(name) is None:
        return None
    # No process has the number 0: the run began elsewhere, and its lines here go to a file of our own.
    run = Run(name, settings().agent(), pid=0)
    run.cycle = cycle if type(cycle) is int and 0 <= cycle <= _MOST_CYCLES else 0
    return run


def parent_in(meta: Any) -> SpanContext | None:
    """The span of the peer that sent ``meta``; None where it tells none or nonsense."""
    if not meta:
        return None
    carrier = {key: value for key in (_TRACE, _STATE) if isinstance(value := _entry(meta, key), str)}
    if carrier:
        found = _W3C.extract(carrier)
    elif isinstance(meta, Mapping) and set(propagate.get_global_textmap().fields) - _USUAL:
        texts = cast("Mapping[str, Any]", meta)
        found = propagate.extract({key: value for key, value in texts.items() if isinstance(value, str)})
    else:
        return None
    ids = get_current_span(found).get_span_context()
    return ids if ids.is_valid else None


# With these the header above says all; another propagator (B3) writes fields of its own.
_USUAL = frozenset({_TRACE, _STATE, "baggage"})


def _entry(meta: Any, key: str) -> Any:
    """An entry of `_meta`: a JSON object, or mcp 1.x's model with extra fields."""
    found: Any = cast("Any", meta) if isinstance(meta, Mapping) else getattr(meta, "model_extra", None)
    return found.get(key) if isinstance(found, Mapping) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def place(meta: Any, transport: Transport | None, sender: Any = None) -> tuple[Context | None, Run | None]:
    """The context and the run that an incoming request is to be told in; None where it stays as it is.

    ``sender``: our own session or dispatcher, where the peer asks back while it works for us. Then the request is part
    of ours that is under way: by its trace, or, from a peer that tells none, if there is just one.
    """
    ids = parent_in(meta)
    if sender is None:
        return (_within(ids) if ids is not None else None), run_in(meta, transport)
    calls = _flying.get(id(sender), ())
    if ids is not None:
        calls = [call for call in calls if call.ids is not None and call.ids.trace_id == ids.trace_id]
    elif len(calls) == 1:
        ids = calls[0].ids
    else:
        calls = ()
    run = calls[0].run if calls and all(call.run is calls[0].run for call in calls) else None
    return (_within(ids) if ids is not None else None), run if run is not runs.current() else None


def _within(ids: SpanContext) -> Context:
    return with_span(current(), NonRecordingSpan(ids))
