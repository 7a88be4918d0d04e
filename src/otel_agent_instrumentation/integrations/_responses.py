# SPDX-License-Identifier: Apache-2.0
"""OpenAI's Responses API: `POST /responses` and `GET /responses/{id}`.

Reference: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

from .. import semconv
from ..core.media import blob, file_part
from ..core.spec import Api, Content, Request, Response, ToolCall, Usage
from ._chat_content import text_part
from ._read import count, get, items, mark, parameters, text

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBER = (int, float)
_PARAMETERS: Mapping[str, tuple[str, Any]] = {
    "temperature": (semconv.REQUEST_TEMPERATURE, _NUMBER),
    "top_p": (semconv.REQUEST_TOP_P, _NUMBER),
    "max_output_tokens": (semconv.REQUEST_MAX_TOKENS, int),
    "previous_response_id": (semconv.REQUEST_PREVIOUS_RESPONSE_ID, str),
}
_CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call"})
_RESULTS = frozenset(f"{kind}_output" for kind in _CALLS)
_TERMINAL = frozenset({"completed", "incomplete", "failed", "cancelled"})
_TERMINAL_EVENTS = frozenset(f"response.{status}" for status in _TERMINAL)


class _Pending:
    """Responses that this process began in the background: their tokens are told by the first fetch that has them."""

    def __init__(self, most: int = 10_000) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._most = most
        self._lock = Lock()

    def add(self, response_id: str) -> None:
        with self._lock:
            self._ids[response_id] = None
            while len(self._ids) > self._most:
                self._ids.popitem(last=False)

    def take(self, response_id: str) -> bool:
        """Whether the tokens of ``response_id`` are still to be told. True once."""
        with self._lock:
            return self._ids.pop(response_id, self) is None


_pending = _Pending()


def _read_request(body: Any, request: Request) -> None:
    request.model = text(body.get("model"))
    request.params = parameters(body, _PARAMETERS)
    level = text(get(body.get("reasoning"), "effort"))
    if level:
        request.params[semconv.REQUEST_REASONING_LEVEL] = level
    kind = text(get(get(body.get("text"), "format"), "type"))
    if kind:
        request.params[semconv.OUTPUT_TYPE] = "json" if kind.startswith("json") else kind
    request.previous_response = text(body.get("previous_response_id"))
    conversation = body.get("conversation")
    request.conversation = text(conversation) or text(get(conversation, "id"))
    if body.get("stream") is True:
        request.stream = True
    sent = body.get("input")
    request.tools = body.get("tools")
    asked = mark(sent)
    request.mark = None if asked is None else hash((asked, request.previous_response, request.conversation))
    answers: list[str] = []
    for item in reversed(list(items(sent))):
        kind = text(get(item, "type"))
        if kind in _RESULTS:
            answers.append(str(get(item, "call_id")))
        elif get(item, "role") == "assistant" or kind in _CALLS or kind == "reasoning":
            break
    request.answers = answers


def _usage(usage: Any) -> Usage | None:
    if usage is None:
        return None
    inputs = get(usage, "input_tokens_details")
    return Usage(
        input=count(get(usage, "input_tokens")),
        output=count(get(usage, "output_tokens")),
        cache_read=count(get(inputs, "cached_tokens")),
        cache_write=count(get(inputs, "cache_write_tokens")),
        reasoning=count(get(get(usage, "output_tokens_details"), "reasoning_tokens")),
    )


def _arguments(item: Any) -> Any:
    return get(item, "arguments") or get(item, "input") or get(item, "action")


def _tool_calls(node: Any) -> list[ToolCall]:
    return [
        ToolCall(text(get(item, "call_id")), text(get(item, "name")) or str(get(item, "type")), _arguments(item))
        for item in items(get(node, "output"))
        if text(get(item, "type")) in _CALLS
    ]


def _finish_reasons(node: Any, status: str | None, calls: list[ToolCall]) -> list[str]:
    """The API has a status and no finish reason: the convention's word is derived."""
    if status == "completed":
        return ["tool_call" if calls else "stop"]
    if status == "incomplete":
        reason = text(get(get(node, "incomplete_details"), "reason"))
        return [{"max_output_tokens": "length"}.get(reason or "", reason or "incomplete")]
    return ["error"] if status == "failed" else []


def read_response(node: Any) -> Response:
    """The facts of a response object. One that goes on in the background has its tokens told by a later fetch."""
    response, settled = _read(node)
    if response.id and not settled:
        _pending.add(response.id)
    return response


def _read(node: Any) -> tuple[Response, bool]:
    """The facts of a response object, and whether it is finished."""
    status = text(get(node, "status"))
    calls = _tool_calls(node)
    response_id = text(get(node, "id"))
    # A recorded or compatible answer may lack the status; one that has output is complete.
    settled = status in _TERMINAL or (status is None and get(node, "output") is not None)
    conversation = get(node, "conversation")
    tier = text(get(node, "service_tier"))
    response = Response(
        id=response_id,
        model=text(get(node, "model")),
        status=status,
        finish_reasons=_finish_reasons(node, status or ("completed" if settled else None), calls),
        usage=_usage(get(node, "usage")) if settled else None,
        tool_calls=calls,
        conversation=text(get(conversation, "id")) or text(conversation),
        attributes={semconv.OPENAI_SERVICE_TIER: tier} if tier else None,
        error=(text(get(get(node, "error"), "code")) or "failed") if status == "failed" else None,
        output=node,
    )
    return response, settled


class EventAccumulator:
    """Gathers the events of a Responses stream: the first and the last carry the whole response object.

    A failure is an event too, `response.failed` or `error`: the client raises nothing.
    """

    read = staticmethod(read_response)

    def __init__(self, keep_content: bool) -> None:  # noqa: ARG002, FBT001 - the Api's factory signature
        self._node: Any = None
        self._error: str | None = None
        self.complete = False

    def add(self, event: Any) -> None:
        """Take one event."""
        node = get(event, "response")
        if node is not None:
            self._node = node
            if text(get(event, "type")) in _TERMINAL_EVENTS:
                self.complete = True
        elif get(event, "type") == "error":
            self._error = text(get(event, "code")) or "error"
            self.complete = True

    def response(self) -> Response:
        """What was seen so far."""
        response = Response() if self._node is None else self.read(self._node)
        response.error = response.error or self._error
        return response


def _read_fetch(options: Any, request: Request) -> None:
    """A fetch names no model; the id is in the path."""
    request.owns_tokens = False
    if get(get(options, "params"), "stream") is True:
        request.stream = True


def _read_fetched(node: Any) -> Response:
    """A fetch owns the tokens only of a response that was begun in the background here, and only once."""
    response, _ = _read(node)
    if response.status not in _TERMINAL or not response.id or not _pending.take(response.id):
        response.usage = None
        response.repeated = True
    return response


class FetchAccumulator(EventAccumulator):
    """The same for a fetch that streams."""

    read = staticmethod(_read_fetched)


def _parts(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [text_part(content)]
    found: list[dict[str, Any]] = []
    for part in items(content):
        kind = str(get(part, "type"))
        if kind in {"input_text", "output_text", "text", "summary_text", "reasoning_text"}:
            found.append(text_part(get(part, "text")))
        elif kind == "refusal":
            found.append(text_part(get(part, "refusal")))
        elif kind in {"input_image", "computer_screenshot"}:
            found.append(file_part("image", None, get(part, "image_url"), get(part, "file_id")))
        elif kind == "input_file":
            held, link = get(part, "file_data"), get(part, "file_url")
            found.append(file_part("document", held, link, get(part, "file_id"), get(part, "filename")))
        else:
            found.append({"type": kind})
    return found


def _item(item: Any) -> dict[str, Any]:
    kind = text(get(item, "type"))
    if kind in _CALLS or kind == "computer_call":
        part = {
            "type": "tool_call",
            "id": get(item, "call_id"),
            "name": get(item, "name") or kind,
            "arguments": _arguments(item),
        }
        return {"role": "assistant", "parts": [part]}
    if kind in _RESULTS or kind == "computer_call_output":
        told = get(item, "output")
        if kind != "shell_call_output" and told is not None and not isinstance(told, str):
            told = _parts(told if isinstance(told, (list, tuple)) else [told])  # a computer's is one screenshot
        part = {"type": "tool_call_response", "id": get(item, "call_id"), "response": told}
        return {"role": "tool", "parts": [part]}
    if kind == "image_generation_call":
        form = text(get(item, "output_format")) or "png"  # the API's default
        return {"role": "assistant", "parts": [blob("image", get(item, "result"), f"image/{form}")]}
    if kind == "reasoning":
        thoughts = [{**part, "type": "reasoning"} for part in _parts(get(item, "summary"))]
        return {"role": "assistant", "parts": thoughts}
    return {"role": str(get(item, "role") or "assistant"), "parts": _parts(get(item, "content"))}


def read_content(request: Request, response: Response | None) -> Content:
    """The content of a Responses call."""
    body = request.body
    told = get(body, "input")
    sent = [{"role": "user", "parts": [text_part(told)]}] if isinstance(told, str) else [_item(i) for i in items(told)]
    instructions = get(body, "instructions")
    parts = (
        [part for item in items(get(response.output, "output")) for part in _item(item)["parts"]] if response else []
    )
    reason = response.finish_reasons[0] if response and response.finish_reasons else ""
    return Content(
        input=sent,
        output=[{"role": "assistant", "parts": parts, "finish_reason": reason}] if parts else [],
        system=[text_part(instructions)] if isinstance(instructions, str) else [],
        tools=[
            {key: get(tool, key) for key in ("type", "name", "description", "parameters") if get(tool, key) is not None}
            for tool in items(get(body, "tools"))
        ],
    )


RESPONSES = Api(
    semconv.CHAT, _read_request, read_response, EventAccumulator, read_content, chained=True, dialect="responses"
)
FETCH = Api(
    semconv.FETCH_RESPONSE, _read_fetch, _read_fetched, FetchAccumulator, chained=True, dialect=RESPONSES.dialect
)
