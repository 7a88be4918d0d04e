# SPDX-License-Identifier: Apache-2.0
"""The two ways of an MCP request through the engine: sent to a peer, received from one. Both majors use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core import runs
from ..core.contain import Contained
from ..core.context import attach
from ..core.engine import async_wrapper, current_call, detach, engine
from . import _mcp_facts as facts
from . import _mcp_wire as wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from opentelemetry.context import Context

    from ..core.engine import Begin, Engine
    from ..core.runs import Run
    from ..core.spec import Call

    Amend = Callable[["Call", Any, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]
    Place = Callable[[Any, tuple[Any, ...], dict[str, Any]], tuple[Context | None, Run | None]]
    Wrapper = Callable[..., Awaitable[Any]]

_AMEND = Contained("mcp.meta")
_FACT = Contained("mcp.facts")
_PLACE = Contained("mcp.place")
_LAND = Contained("mcp.land")


def _finish(engine: Engine, call: Call, result: Any) -> Any:
    with _FACT:  # by itself: the call ends all the same
        facts.answered(call, result)
    engine.end(call)
    return result


def sender(begin: Begin, amend: Amend) -> Wrapper:
    """A wrapt wrapper for a coroutine method that sends a request. ``amend`` adds to `_meta`, in a copy."""
    through = async_wrapper(facts.NAME, begin, _finish)

    def send(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        above = current_call()

        async def sent(*args: Any, **kwargs: Any) -> Any:
            call = current_call()
            if call is None or call is above:
                return await wrapped(*args, **kwargs)
            with _AMEND:
                wire.fly(instance, call)
                args, kwargs = amend(call, instance, args, kwargs)
            try:
                return await wrapped(*args, **kwargs)
            except BaseException as error:
                with _FACT:
                    facts.failed(call, error)
                raise
            finally:
                with _LAND:
                    wire.land(instance, call)

        return through(sent, instance, args, kwargs)

    return send


def receiver(begin: Begin, place: Place, finish: Callable[[Engine, Call, Any], Any] = _finish) -> Wrapper:
    """A wrapt wrapper for a coroutine method that answers a request: in the peer's trace and, if it told one, run."""
    through = async_wrapper(facts.NAME, begin, finish)

    async def receive(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = run = token = mark = raised = None
        with _PLACE:
            if engine.enabled:  # a connection may keep this wrapper for longer than we are here
                context, run = place(instance, args, kwargs)
            if context is not None:
                token = attach(context)
            if run is not None:
                mark = runs.set_current(run)
        try:
            return await through(_answering(wrapped), instance, args, kwargs)
        except BaseException as error:
            raised = error
            raise
        finally:
            with _PLACE:
                if mark is not None:
                    runs.reset_current(mark)
                detach(token, context, raised)
            raised = None

    return receive


def _answering(wrapped: Any) -> Any:
    above = current_call()

    async def answer(*args: Any, **kwargs: Any) -> Any:
        call = current_call()
        if call is None or call is above:
            return await wrapped(*args, **kwargs)
        try:
            return await wrapped(*args, **kwargs)
        except BaseException as error:
            with _FACT:
                facts.failed(call, error)
            raise

    return answer
