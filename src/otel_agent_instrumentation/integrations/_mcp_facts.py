# SPDX-License-Identifier: Apache-2.0
"""The facts of an MCP request: pure readers of methods, parameters, results and errors, of both majors.

Names: docs/gen-ai/mcp.md of the GenAI convention. Parameters and results are pydantic models in mcp 1.x, JSON objects
in 2.x; `read` looks into both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import semconv
from ..core.engine import current_call
from ..core.settings import capturing
from ..core.spec import Api, Content, Request, Response, ToolCall

if TYPE_CHECKING:
    from ..core.spec import Call
    from ._mcp_transports import Transport

NAME = "mcp"
CALL, LIST, PROMPT = "tools/call", "tools/list", "prompts/get"
LISTEN = "subscriptions/listen"
"""Open as long as the client listens: no operation with a duration."""
_INVALID_PARAMS = "-32602"
# A time-out (mcp 1.x: HTTP's number; 2.x: JSON-RPC's), a lost connection: made by the library, no peer answered them.
_OWN_CODES = frozenset({408, -32001, -32000})
_METHODS = frozenset(
    {
        "initialize",
        "ping",
        "server/discover",
        CALL,
        LIST,
        PROMPT,
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "completion/complete",
        "logging/setLevel",
        "sampling/createMessage",
        "elicitation/create",
        "roots/list",
        "tasks/get",
        "tasks/list",
        "tasks/result",
        "tasks/cancel",
        "tasks/update",
    }
)
_OTHER = "other"
_MOST_TOOLS = 1000
_LONGEST = 256
_tools: set[str] = set()
"""Tools that a server has declared (`tools/list`) or run: others may be a model's invention, which is no label."""


def read(thing: Any, key: str) -> Any:
    """``key`` of a model or of a JSON object, None where there is none."""
    if type(thing) is dict or isinstance(thing, Mapping):  # the first for its price
        return thing.get(key)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return getattr(thing, key, None)


NO_RESPONSE = Response()
"""There was an answer, of which nothing is kept."""


def _nothing(*_: Any) -> Any:
    return NO_RESPONSE


def _content(request: Request, response: Response | None) -> Content:
    content, result = Content(), response.output if response is not None else None
    content.arguments = _plain(read(_params(request.body), "arguments"))
    content.result = _plain(read(result, "content") or read(result, "structuredContent"))
    return content


def _params(body: Any) -> Any:
    """The parameters themselves, or those of mcp 1.x's responder."""
    root = getattr(getattr(body, "request", None), "root", None)
    return getattr(root, "params", None) if root is not None else body


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    dump = getattr(value, "model_dump", None)
    return dump(by_alias=True, mode="json", exclude_none=True) if callable(dump) else value


def _api(kind: Any, *durations: str, content: Any = None) -> Api:
    return Api(NAME, request=_nothing, response=_nothing, content=content, kind=kind, durations=durations)


_CLIENT = _api("CLIENT", semconv.MCP_CLIENT_DURATION)
_CLIENT_TOOL = _api(
    "CLIENT", semconv.MCP_CLIENT_DURATION, semconv.EXECUTE_TOOL_DURATION, semconv.TOOL_CALLS, content=_content
)
_WITHIN_TOOL = _api("CLIENT", semconv.MCP_CLIENT_DURATION, content=_content)
_SERVER = _api("SERVER", semconv.MCP_SERVER_DURATION)
_SERVER_TOOL = _api("SERVER", semconv.MCP_SERVER_DURATION, content=_content)


def sent(method: str, params: Any, transport: Transport | None) -> tuple[Api, Request]:
    """A request that goes out. The agent's own tool of that name, if one is running, is the tool call: not this."""
    request = _request(method, params, transport)
    if transport is not None:
        request.address, request.port = transport.address, transport.port
    if method != CALL:
        return _CLIENT, request
    above = current_call()
    if (
        above is not None
        and above.library != NAME
        and above.request.operation == semconv.EXECUTE_TOOL
        and above.request.tool == request.tool
    ):
        request.operation = ""
        return _WITHIN_TOOL, request
    # The model asked for it, it may be: then it takes the id of that, and nothing is inferred from the result.
    request.tool_call = ToolCall(None, request.tool, _plain(read(params, "arguments")))
    return _CLIENT_TOOL, request


def received(method: str, params: Any, transport: Transport | None) -> tuple[Api, Request]:
    """A request that came in."""
    return _SERVER_TOOL if method == CALL else _SERVER, _request(method, params, transport)


def _request(method: str, params: Any, transport: Transport | None) -> Request:
    attributes: dict[str, Any] = {semconv.MCP_METHOD_NAME: method}
    request = Request("", name=method if len(method) <= _LONGEST else method[:_LONGEST], attributes=attributes)
    request.body = params
    if method in {CALL, PROMPT}:
        target = read(params, "name")
        if isinstance(target, str):
            request.name = f"{method} {target[:_LONGEST]}"
            if method == PROMPT:
                attributes[semconv.PROMPT_NAME] = target
            else:
                request.tool = target
                if target not in _tools:
                    request.labels = {semconv.TOOL_NAME: _OTHER}
        if method == CALL:
            request.operation = semconv.EXECUTE_TOOL
    elif method.startswith("resources/"):
        uri = read(params, "uri")
        if uri is not None:
            attributes[semconv.MCP_RESOURCE_URI] = str(uri)
    elif method not in _METHODS:
        request.labels = {semconv.MCP_METHOD_NAME: _OTHER}
    if transport is not None:
        attributes[semconv.NETWORK_TRANSPORT] = transport.network
    return request


def answered(call: Call, result: Any) -> None:
    """Read the result of a request: a tool's error, the tools that a server declares, the protocol's version."""
    request = call.request
    method = (request.attributes or {})[semconv.MCP_METHOD_NAME]
    if method == CALL:
        if read(result, "isError") is True or read(result, "is_error") is True:
            call.error_type = semconv.TOOL_ERROR
        elif request.tool is not None and request.labels:
            declare(request.tool)
            request.labels = None
        if capturing():
            call.response = Response(output=result)
    elif method == LIST:
        for tool in read(result, "tools") or ():
            declare(read(tool, "name"))
    elif method == "initialize":
        version = read(result, "protocolVersion")
        if isinstance(version, str):
            request.params[semconv.MCP_PROTOCOL_VERSION] = version


def declare(tool: Any) -> None:
    """Remember a tool's name as one that a server has."""
    if isinstance(tool, str) and len(_tools) < _MOST_TOOLS:
        _tools.add(tool)


def failed(call: Call, error: BaseException) -> None:
    """Read a JSON-RPC error (`McpError` of 1.x, `MCPError` of 2.x); other exceptions are told by their class."""
    code = read(getattr(error, "error", None), "code")
    if type(code) is int:
        refused(call, code)
    elif call.api.kind == "SERVER" and type(error).__name__ == "ValidationError":
        refused(call, int(_INVALID_PARAMS))  # what the library answers for it


def refused(call: Call, code: int) -> None:
    """The request was answered with a JSON-RPC error. Its message is not told: it may quote the arguments."""
    call.error_type = str(code)
    if code not in _OWN_CODES:
        call.request.params[semconv.RPC_STATUS_CODE] = str(code)
