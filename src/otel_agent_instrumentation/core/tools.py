# SPDX-License-Identifier: Apache-2.0
"""What all measured tools have in common, whoever runs them: the operation, its facts, its content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import semconv
from .settings import capturing
from .spec import Api, Content, Request, Response, ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .engine import Engine
    from .spec import Call

FAILED = "tool_error"
"""The convention's `error.type` of a failure that the tool's result tells of, and no exception."""
_MASKED = "REDACTED"


class Arguments:
    """The arguments of one call of a Python function. Put in order by name only where somebody asks: few calls need it.

    ``names`` makes a mapping of them, or None where they do not fit; ``hidden`` are those that are never told.
    """

    __slots__ = ("_hidden", "_names", "given", "method")

    def __init__(
        self,
        names: Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any] | None],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        hidden: Collection[str] = (),
        method: bool = False,  # noqa: FBT001, FBT002 - positional, as it is paid for with each call
    ) -> None:
        self._names = names
        self.given = (args, kwargs)
        self.method = method
        """Whether the first is the instance or class that a method is called on."""
        self._hidden = hidden

    def named(self) -> dict[str, Any] | None:
        """By name, as they are."""
        return self._names(*self.given)

    def told(self) -> dict[str, Any] | None:
        """By name, as they may be told: still to be redacted."""
        named = self.named()
        if named is None or not self._hidden:
            return named
        return {key: _MASKED if key in self._hidden else value for key, value in named.items()}

    def hidden(self, told: Collection[str]) -> tuple[str, ...]:
        """Which of those in ``told`` are hidden."""
        return tuple(key for key in told if key in self._hidden)


def _content(request: Request, response: Response | None) -> Content:
    given = request.body
    content = Content(result=response.output if response is not None else None)
    if isinstance(given, Arguments):
        content.arguments = given.told()
        content.hidden = given.hidden(content.arguments or ())
    else:
        content.arguments = given
    return content


MEASURED = Api(
    semconv.EXECUTE_TOOL,
    lambda body, request: None,  # noqa: ARG005 - what is asked is in the call itself
    lambda node: Response(output=node),
    content=_content,
    kind="INTERNAL",
    durations=(semconv.EXECUTE_TOOL_DURATION, semconv.TOOL_CALLS),
)


def tool_request(call: ToolCall, span_name: str, attributes: dict[str, Any]) -> Request:
    """The request of a measured tool. ``attributes``: those that all calls of the tool share; not changed here."""
    request = Request(semconv.EXECUTE_TOOL, name=span_name, tool=call.name, attributes=attributes, tool_call=call)
    if capturing():
        request.body = call.arguments
    return request


def finish_tool(engine: Engine, call: Call, result: Any) -> Any:
    """A `finish` for the engine: the result is kept only where content capture is on."""
    if call.request.body is not None:
        call.response = Response(output=result)
    engine.end(call)
    return result
