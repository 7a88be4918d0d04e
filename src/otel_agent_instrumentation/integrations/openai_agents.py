# SPDX-License-Identifier: Apache-2.0
"""openai-agents 0.24: function tools, also those of its MCP servers and agents that serve as tools.

Its runner makes an answer of most failures, so that the model may go on; the formatter of that answer is told what the
failure was, and so are we. Its hosted tools run at the provider: they are no calls of this process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import semconv
from ..core.contain import Contained
from ..core.engine import async_wrapper, current_call, error_type, tool_above
from ..core.patching import Integration, Seam
from ..core.spec import ToolCall
from ..core.tools import FAILED, MEASURED, finish_tool, tool_request
from ._read import get, text

if TYPE_CHECKING:
    from ..core.engine import Engine
    from ..core.spec import Api, Call, Request

_LIBRARY = "openai_agents"
_LONGEST = 256
_FAILURE = Contained("openai_agents.failure")


def _begin(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Api, Request] | None:  # noqa: ARG001 - the engine's signature
    tool, context = kwargs["function_tool"], kwargs["context"]
    name = str(tool.name)
    if tool_above(name):
        return None
    call = ToolCall(text(get(context, "tool_call_id")), name, kwargs["arguments"])
    attributes = {semconv.TOOL_TYPE: "function"}
    about = text(get(tool, "description"))
    if about is not None:
        attributes[semconv.TOOL_DESCRIPTION] = about.partition("\n")[0][:_LONGEST]
    return MEASURED, tool_request(call, f"{semconv.EXECUTE_TOOL} {name}", attributes)


def _finish(engine: Engine, call: Call, result: Any) -> Any:
    if get(result, "is_sdk_generated_error") is True:  # a timeout that is told as an answer
        call.error_type = call.error_type or FAILED
    finish_tool(engine, call, get(result, "output") if hasattr(result, "is_sdk_generated_error") else result)
    return result


def _failed(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - wrapt's signature
    with _FAILURE:
        call, error = current_call(), kwargs.get("error")
        if call is not None and call.library == _LIBRARY and error is not None:
            call.error_type = error_type(error)
    return wrapped(*args, **kwargs)


_run = async_wrapper(_LIBRARY, _begin, _finish)

INTEGRATION = Integration(
    name=_LIBRARY,
    distribution="openai-agents",
    seams=(
        Seam("agents.run_internal.tool_execution", "_invoke_function_tool_with_metadata", _run, "every function tool"),
        Seam("agents.realtime.session", "invoke_function_tool", _run, "function tools of realtime sessions"),
        Seam("agents.tool", "maybe_invoke_function_tool_failure_error_function", _failed, "what a handled failure was"),
    ),
)
