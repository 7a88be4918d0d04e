# SPDX-License-Identifier: Apache-2.0
"""Messages of the chat and completions APIs in the convention's shape: role and parts.

Shape: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-input-messages.json
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import semconv
from ..core.media import Part, blob, file_part
from ..core.spec import Content
from ._read import get, index, items, text

if TYPE_CHECKING:
    from ..core.spec import Request, Response


def text_part(value: Any) -> Part:
    """A text part."""
    return {"type": "text", "content": value if isinstance(value, str) else str(value)}


def _parts(content: Any) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [text_part(content)] if content else []
    found: list[Part] = []
    for part in items(content):
        kind = text(get(part, "type")) or "unknown"
        if kind in {"text", "refusal"}:
            found.append(text_part(get(part, kind)))
        elif kind == "image_url":
            image = get(part, "image_url")
            found.append(blob("image", image if isinstance(image, str) else get(image, "url")))
        elif kind == "input_audio":
            found.append(_sound(get(part, "input_audio")))
        elif kind == "file":
            file = get(part, "file")
            found.append(
                file_part("document", get(file, "file_data"), None, get(file, "file_id"), get(file, "filename"))
            )
        else:
            found.append({"type": str(kind)})
    return found


def _sound(audio: Any) -> Part:
    kind = text(get(audio, "format"))
    return blob("audio", get(audio, "data"), f"audio/{kind}" if kind else None)


def _spoken(audio: Any) -> list[Part]:
    """What a model said aloud: its words, and the sound, or its id where an answer is sent back."""
    if audio is None:
        return []
    words = get(audio, "transcript")
    sound = file_part("audio", get(audio, "data"), None, get(audio, "id"))
    return [text_part(words), sound] if isinstance(words, str) and words else [sound]


def _tool_call_parts(message: Any) -> list[Part]:
    found: list[Part] = []
    for call in items(get(message, "tool_calls")):
        function = get(call, "function") or get(call, "custom")
        arguments = get(function, "arguments") or get(function, "input")
        found.append(
            {"type": "tool_call", "id": get(call, "id"), "name": get(function, "name"), "arguments": arguments}
        )
    legacy = get(message, "function_call")
    if legacy is not None:
        found.append({"type": "tool_call", "name": get(legacy, "name"), "arguments": get(legacy, "arguments")})
    return found


def _message(message: Any) -> dict[str, Any]:
    role = get(message, "role")
    if role == "tool":
        told = get(message, "content")
        answer = _parts(told) if isinstance(told, (list, tuple)) else told
        response = {"type": "tool_call_response", "id": get(message, "tool_call_id"), "response": answer}
        return {"role": "tool", "parts": [response]}
    reasoning = get(message, "reasoning_content") or get(message, "reasoning")
    thoughts: list[Part] = [{"type": "reasoning", "content": reasoning}] if isinstance(reasoning, str) else []
    refusal = get(message, "refusal")
    refused = [text_part(refusal)] if isinstance(refusal, str) and refusal else []
    said = [*_parts(get(message, "content")), *refused, *_spoken(get(message, "audio"))]
    parts = [*thoughts, *said, *_tool_call_parts(message)]
    return {"role": str(role or "assistant"), "parts": parts}


def _output(response: Response | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for choice in items(get(response.output, "choices")) if response is not None else ():
        message = get(choice, "message")
        told = _message(message) if message is not None else {"role": "assistant", "parts": _parts(get(choice, "text"))}
        reason = text(get(choice, "finish_reason")) or ""
        found.append({**told, "role": "assistant", "finish_reason": semconv.finish_reason(reason)})
    return found


def read(request: Request, response: Response | None) -> Content:
    """The content of a chat call."""
    body = request.body
    messages = list(items(get(body, "messages")))
    tools = [
        {"type": get(tool, "type") or "function", **_definition(get(tool, "function") or tool)}
        for tool in items(get(body, "tools"))
    ]
    return Content(input=[_message(message) for message in messages], output=_output(response), tools=tools)


def _definition(tool: Any) -> dict[str, Any]:
    return {key: get(tool, key) for key in ("name", "description", "parameters") if get(tool, key) is not None}


def read_completion(request: Request, response: Response | None) -> Content:
    """The content of a legacy completion."""
    prompt = get(request.body, "prompt")
    prompts = [prompt] if isinstance(prompt, str) else [item for item in items(prompt) if isinstance(item, str)]
    return Content(input=[{"role": "user", "parts": [text_part(item)]} for item in prompts], output=_output(response))


class Gathered:
    """Rebuilds the answer's body from the deltas of a stream, for the content reader. Only while capture is on."""

    def __init__(self) -> None:
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, choice: Any) -> None:
        """Take one choice of a chunk."""
        told = self._choices.setdefault(index(choice), {"text": [], "calls": {}, "reasoning": []})
        delta = get(choice, "delta")
        piece = get(delta, "content") if delta is not None else get(choice, "text")
        if isinstance(piece, str):
            told["text"].append(piece)
        thought = get(delta, "reasoning_content") or get(delta, "reasoning")
        if isinstance(thought, str):
            told["reasoning"].append(thought)
        for part in items(get(delta, "tool_calls")):
            call = told["calls"].setdefault(index(part), {"id": None, "name": "", "arguments": []})
            call["id"] = call["id"] or get(part, "id")
            function = get(part, "function")
            call["name"] += text(get(function, "name")) or ""
            call["arguments"].append(text(get(function, "arguments")) or "")
        told["finish_reason"] = get(choice, "finish_reason") or told.get("finish_reason")

    def body(self) -> dict[str, Any]:
        """The answer as the API would have sent it in one piece."""
        choices: list[dict[str, Any]] = []
        for _, told in sorted(self._choices.items()):
            calls = [
                {"id": call["id"], "function": {"name": call["name"], "arguments": "".join(call["arguments"])}}
                for _, call in sorted(told["calls"].items())
            ]
            message = {"role": "assistant", "content": "".join(told["text"]), "tool_calls": calls}
            if told["reasoning"]:
                message["reasoning_content"] = "".join(told["reasoning"])
            choices.append({"message": message, "finish_reason": told["finish_reason"]})
        return {"choices": choices}
