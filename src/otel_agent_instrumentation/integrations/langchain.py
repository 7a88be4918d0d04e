# SPDX-License-Identifier: Apache-2.0
"""langchain-core 1.x: tools, whatever agent or graph runs them.

`BaseTool.run` and `arun` are where `invoke`, `ainvoke`, agents and LangGraph's tool node come together. A failure of
which `handle_tool_error` makes an answer is an error of the span where the answer is a `ToolMessage`, which says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import semconv
from ..core.engine import async_wrapper, sync_wrapper, tool_above
from ..core.patching import Integration, Seam
from ..core.spec import ToolCall
from ..core.tools import FAILED, MEASURED, finish_tool, tool_request
from ._read import get, text

if TYPE_CHECKING:
    from ..core.engine import Engine
    from ..core.spec import Api, Call, Request

_LIBRARY = "langchain"
_LONGEST = 256


def _begin(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Api, Request] | None:
    name = str(instance.name)
    if tool_above(name):
        return None
    given = args[0] if args else kwargs.get("tool_input")
    call = ToolCall(text(kwargs.get("tool_call_id")), name, given)
    attributes = {semconv.TOOL_TYPE: "function"}
    about = text(instance.description)
    if about is not None:
        attributes[semconv.TOOL_DESCRIPTION] = about.partition("\n")[0][:_LONGEST]
    return MEASURED, tool_request(call, f"{semconv.EXECUTE_TOOL} {name}", attributes)


def _finish(engine: Engine, call: Call, result: Any) -> Any:
    if get(result, "status") == "error":
        call.error_type = FAILED
    return finish_tool(engine, call, result)


INTEGRATION = Integration(
    name=_LIBRARY,
    distribution="langchain-core",
    seams=(
        Seam("langchain_core.tools.base", "BaseTool.run", sync_wrapper(_LIBRARY, _begin, _finish), "every sync tool"),
        Seam("langchain_core.tools.base", "BaseTool.arun", async_wrapper(_LIBRARY, _begin, _finish), "async tools"),
    ),
)
