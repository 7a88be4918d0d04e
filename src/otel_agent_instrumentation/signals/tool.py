# SPDX-License-Identifier: Apache-2.0
"""`@tool`: a Python function that an agent uses as a tool has a span for each call.

The function stays what it is: a function, coroutine function, generator function or async generator function with the
same signature, whose exceptions and results pass as they are. A generator's span covers its iteration, from the first
step to the last; one that is never begun does nothing, and has none.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .. import semconv
from ..core.contain import Contained, warn_once
from ..core.engine import async_wrapper, sync_wrapper, tool_above
from ..core.spec import ToolCall
from ..core.tools import MEASURED, Arguments, finish_tool, tool_request
from .tool_streams import asynchronous, synchronous

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..core.engine import Begin
    from ..core.spec import Api, Request

F = TypeVar("F", bound=Callable[..., Any])

_DECORATE = Contained("tool.decorate")
_LIBRARY = "tool"
_FLAG = "__otel_agent_tool__"
_MOST_DESCRIPTION = 256
_INSTANCE = frozenset({"self", "cls"})


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *, name: str | None = None, description: str | None = None, redact: str | Iterable[str] = ()
) -> Callable[[F], F]: ...


def tool(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    redact: str | Iterable[str] = (),
) -> Any:
    """Record each call of a function as a tool's: `@tool`, or `@tool(name=..., description=..., redact=...)`.

    :param name: the tool's name, as the model knows it; by default the function's.
    :param description: what it does; by default the first line of its docstring.
    :param redact: names of arguments that are never recorded, also where content capture is on.

    For functions, methods, coroutines, generators and async generators, above or below `@staticmethod` and
    `@classmethod`. Arguments and results are recorded only where content capture is on. Never raises: what cannot be
    decorated is returned as it is, with one warning.
    """
    words = frozenset((redact,) if isinstance(redact, str) else redact)
    if function is not None:
        return _decorated(function, name, description, words)
    return functools.partial(_decorated, name=name, description=description, redact=words)


def _decorated(function: Any, name: str | None, description: str | None, redact: frozenset[str]) -> Any:
    with _DECORATE:
        if type(function) in {staticmethod, classmethod}:
            return type(function)(_decorated(function.__func__, name, description, redact))
        if not inspect.isfunction(function):
            warn_once("tool:kind", "otel-agent: @tool takes functions; %r is left as it is", type(function).__name__)
            return function
        if _FLAG not in vars(function):
            return _wrapped(function, _Tool(function, name, description, redact))
    return function


class _Tool:
    """A decorated function: what all its calls have in common."""

    def __init__(self, function: Any, name: str | None, description: str | None, redact: frozenset[str]) -> None:
        self.name: str = name or function.__name__
        self.signature = inspect.signature(function)
        self._redact = redact
        self._method = next(iter(self.signature.parameters), "") in _INSTANCE
        self._span_name = f"{semconv.EXECUTE_TOOL} {self.name}"
        self._attributes: dict[str, Any] = {semconv.TOOL_TYPE: "function"}
        words = description or (inspect.getdoc(function) or "").partition("\n")[0]
        if words:
            self._attributes[semconv.TOOL_DESCRIPTION] = words[:_MOST_DESCRIPTION]

    def named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
        """The arguments by name, without the instance that a method is called on. None where they do not fit."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError:  # the call is about to fail: its caller hears it from Python
            return None
        found: dict[str, Any] = {}
        for key, value in bound.arguments.items():
            kind = self.signature.parameters[key].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                found.update(value)
            elif found or key not in _INSTANCE:
                found[key] = value
        return found

    def begin(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Api, Request] | None:  # noqa: ARG002 - the engine's signature
        """The call's facts, or None where a framework that runs this tool tells it."""
        name = self.name
        if tool_above(name, but=_LIBRARY):
            return None
        given = Arguments(self.named, args, kwargs, self._redact, self._method)
        return MEASURED, tool_request(ToolCall(None, name, given), self._span_name, self._attributes)


def _wrapped(function: Any, tool: _Tool) -> Any:
    begin: Begin = tool.begin
    made = _around(function, begin)
    functools.update_wrapper(made, function)
    made.__signature__ = tool.signature  # `inspect.getfullargspec` does not look behind a wrapper
    setattr(made, _FLAG, tool.name)
    return made


def _around(function: Any, begin: Begin) -> Any:
    if inspect.isasyncgenfunction(function):
        return asynchronous(_LIBRARY, function, begin)
    if inspect.isgeneratorfunction(function):
        made = synchronous(_LIBRARY, function, begin)
        coroutine = function.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE
        return types.coroutine(made) if coroutine else made
    if inspect.iscoroutinefunction(function):
        wait = async_wrapper(_LIBRARY, begin, finish_tool)

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return await wait(function, None, args, kwargs)

        return awaited
    call = sync_wrapper(_LIBRARY, begin, finish_tool)

    def called(*args: Any, **kwargs: Any) -> Any:
        return call(function, None, args, kwargs)

    return called
