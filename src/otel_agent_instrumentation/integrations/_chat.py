# SPDX-License-Identifier: Apache-2.0
"""The chat completions, completions and embeddings APIs, as OpenAI defined them and many serve them.

Reference: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import semconv
from ..core.spec import Api, Request, Response, ToolCall, Usage
from . import _chat_content
from ._read import count, fields, get, index, items, mark, parameters, text

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBER = (int, float)
_PARAMETERS: Mapping[str, tuple[str, Any]] = {
    "temperature": (semconv.REQUEST_TEMPERATURE, _NUMBER),
    "top_p": (semconv.REQUEST_TOP_P, _NUMBER),
    "max_tokens": (semconv.REQUEST_MAX_TOKENS, int),
    "max_completion_tokens": (semconv.REQUEST_MAX_TOKENS, int),
    "frequency_penalty": (semconv.REQUEST_FREQUENCY_PENALTY, _NUMBER),
    "presence_penalty": (semconv.REQUEST_PRESENCE_PENALTY, _NUMBER),
    "seed": (semconv.REQUEST_SEED, int),
    "reasoning_effort": (semconv.REQUEST_REASONING_LEVEL, str),
    "stop": (semconv.REQUEST_STOP_SEQUENCES, (str, list)),
}


def read_parameters(body: Any, request: Request) -> None:
    """What the chat and the completions API have in common."""
    request.model = text(body.get("model"))
    params = parameters(body, _PARAMETERS)
    stop = params.get(semconv.REQUEST_STOP_SEQUENCES)
    if isinstance(stop, str):
        params[semconv.REQUEST_STOP_SEQUENCES] = [stop]
    choices = count(body.get("n"))
    if choices is not None and choices != 1:
        params[semconv.REQUEST_CHOICE_COUNT] = choices
    request.params = params
    if body.get("stream") is True:
        request.stream = True


def read_chat_request(body: Any, request: Request) -> None:
    """The facts of a `POST /chat/completions`."""
    read_parameters(body, request)
    kind = get(body.get("response_format"), "type")
    if isinstance(kind, str):
        request.params[semconv.OUTPUT_TYPE] = "json" if kind.startswith("json") else kind
    messages = body.get("messages")
    request.tools = body.get("tools")
    request.mark = mark(messages)
    answers: list[str] = []
    for message in reversed(list(items(messages))):
        role = get(message, "role")
        if role == "assistant":
            break
        if role == "tool":
            answers.append(str(get(message, "tool_call_id")))
    request.answers = answers


def read_usage(usage: Any) -> Usage | None:
    """A `usage` object of the chat, completions or embeddings API."""
    if usage is None:
        return None
    told = fields(usage)
    prompt = fields(told.get("prompt_tokens_details"))
    cached = count(prompt.get("cached_tokens"))
    return Usage(
        input=count(told.get("prompt_tokens")),
        output=count(told.get("completion_tokens")),
        # DeepSeek tells its cache beside the convention's place.
        cache_read=cached if cached is not None else count(told.get("prompt_cache_hit_tokens")),
        cache_write=count(prompt.get("cache_write_tokens")),
        reasoning=count(fields(told.get("completion_tokens_details")).get("reasoning_tokens")),
    )


def _tier(value: Any) -> dict[str, Any] | None:
    tier = text(value)
    return {semconv.OPENAI_SERVICE_TIER: tier} if tier else None


def _tool_calls(message: Mapping[str, Any]) -> list[ToolCall]:
    found: list[ToolCall] = []
    for call in items(message.get("tool_calls")):
        asked = get(call, "function") or get(call, "custom")
        arguments = get(asked, "arguments")
        found.append(
            ToolCall(
                text(get(call, "id")),
                text(get(asked, "name")),
                arguments if arguments is not None else get(asked, "input"),
            )
        )
    legacy = message.get("function_call")
    if legacy is not None:
        found.append(ToolCall(None, text(get(legacy, "name")), get(legacy, "arguments")))
    return found


def read_response(node: Any) -> Response:
    """The facts of a chat completion or of a completion."""
    reasons: list[str] = []
    calls: list[ToolCall] = []
    told = fields(node)
    for item in items(told.get("choices")):
        choice = fields(item)
        reason = text(choice.get("finish_reason"))
        if reason:
            reasons.append(semconv.finish_reason(reason))
        message = choice.get("message")
        if message is not None:
            calls += _tool_calls(fields(message))
    return Response(
        id=text(told.get("id")),
        model=text(told.get("model")),
        finish_reasons=reasons,
        usage=read_usage(told.get("usage")),
        tool_calls=calls,
        attributes=_tier(told.get("service_tier")),
        output=node,
    )


class ChunkAccumulator:
    """Gathers the chunks of a chat or completions stream. Per chunk: a few attribute reads."""

    def __init__(self, keep_content: bool) -> None:  # noqa: FBT001 - the Api's factory signature
        self._id: str | None = None
        self._model: str | None = None
        self._tier: dict[str, Any] | None = None
        self._usage: Any = None
        self._reasons: dict[int, str] = {}
        self._calls: dict[tuple[int, int], ToolCall] = {}
        self._content = _chat_content.Gathered() if keep_content else None
        self.complete = False
        self._known = False
        """Whether what all chunks repeat is known, and nothing of the text is kept."""

    def add(self, chunk: Any) -> None:
        """Take one chunk. The last usage wins: some send a running total with every chunk."""
        if self._known:
            try:  # the usual chunk: a piece of text of one choice, and nothing that we count
                (choice,) = chunk.choices
                if chunk.usage is None and choice.finish_reason is None and choice.delta.tool_calls is None:
                    return
            except (AttributeError, TypeError, ValueError):
                pass  # a completion's choice, several choices, the last chunk's usage, decoded JSON
        self._take(chunk)

    def _take(self, chunk: Any) -> None:
        usage = get(chunk, "usage")
        if usage is not None:
            self._usage = usage
        if self._id is None:
            self._id = text(get(chunk, "id"))
        if self._model is None:
            self._model = text(get(chunk, "model"))
            self._tier = _tier(get(chunk, "service_tier"))
            self._known = self._model is not None and self._content is None
        for choice in items(get(chunk, "choices")):
            reason = get(choice, "finish_reason")
            delta = get(choice, "delta")
            if reason is not None:
                self._finish(chunk, choice, reason)
            if delta is not None and get(delta, "tool_calls"):
                self._tool_deltas(index(choice), get(delta, "tool_calls"))
            if self._content is not None:
                self._content.add(choice)

    def _finish(self, chunk: Any, choice: Any, reason: Any) -> None:
        told = text(reason)
        if told is not None:
            self._reasons[index(choice)] = semconv.finish_reason(told)
        # Moonshot tells the usage in the last choice, Groq beside it.
        usage = get(choice, "usage") or get(get(chunk, "x_groq"), "usage")
        if self._usage is None and usage is not None:
            self._usage = usage

    def _tool_deltas(self, choice: int, deltas: Any) -> None:
        for delta in items(deltas):
            key = (choice, index(delta))
            asked = get(delta, "function")
            known = self._calls.get(key)
            if known is None:
                known = self._calls[key] = ToolCall(None, None, [])
            known.id = known.id or text(get(delta, "id"))
            known.name = known.name or text(get(asked, "name"))
            piece = get(asked, "arguments")
            if isinstance(piece, str):
                known.arguments.append(piece)

    def response(self) -> Response:
        """What was seen so far."""
        return Response(
            id=self._id,
            model=self._model,
            finish_reasons=[self._reasons[index] for index in sorted(self._reasons)],
            usage=read_usage(self._usage),
            tool_calls=[ToolCall(call.id, call.name, "".join(call.arguments)) for call in self._calls.values()],
            attributes=self._tier,
            output=self._content.body() if self._content is not None else None,
        )


def read_completion_request(body: Any, request: Request) -> None:
    """The facts of a `POST /completions`."""
    read_parameters(body, request)


def read_embeddings_request(body: Any, request: Request) -> None:
    """The facts of a `POST /embeddings`."""
    request.model = text(body.get("model"))
    dimensions = count(body.get("dimensions"))
    if dimensions is not None:
        request.params[semconv.EMBEDDINGS_DIMENSION_COUNT] = dimensions
    encoding = text(body.get("encoding_format"))
    if encoding:
        request.params[semconv.REQUEST_ENCODING_FORMATS] = [encoding]


def read_embeddings_response(node: Any) -> Response:
    """The facts of an embeddings answer. OpenAI gives it no id, others do."""
    return Response(id=text(get(node, "id")), model=text(get(node, "model")), usage=read_usage(get(node, "usage")))


CHAT = Api(semconv.CHAT, read_chat_request, read_response, ChunkAccumulator, _chat_content.read, dialect="chat")
COMPLETIONS = Api(
    semconv.TEXT_COMPLETION, read_completion_request, read_response, ChunkAccumulator, _chat_content.read_completion
)
EMBEDDINGS = Api(semconv.EMBEDDINGS, read_embeddings_request, read_embeddings_response)
