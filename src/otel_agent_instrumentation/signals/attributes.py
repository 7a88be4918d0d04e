# SPDX-License-Identifier: Apache-2.0
"""A call's facts under the convention's names. Each attribute in one place, for span, event and ledger alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .. import semconv
from ..core.settings import current as settings

if TYPE_CHECKING:
    from ..core.runs import Run
    from ..core.spec import Call, Content, Response, Usage

_PARTS = (
    (semconv.INPUT_MESSAGES, "input"),
    (semconv.OUTPUT_MESSAGES, "output"),
    (semconv.SYSTEM_INSTRUCTIONS, "system"),
    (semconv.TOOL_DEFINITIONS, "tools"),
)
_encode = msgspec.json.Encoder(enc_hook=repr).encode


def of_run(run: Run, cycle: int) -> dict[str, Any]:
    """What every span and log below a run carries."""
    found: dict[str, Any] = {semconv.RUN_ID: run.id, semconv.AGENT_NAME: run.agent, **run.stamp}
    if cycle:
        found[semconv.CYCLE] = cycle
    return found


def at_start(call: Call) -> dict[str, Any]:
    """What a sampler may see: everything that the request tells."""
    request = call.request
    found: dict[str, Any] = {semconv.OPERATION_NAME: request.operation, semconv.PROVIDER_NAME: request.provider}
    if request.model is not None:
        found[semconv.REQUEST_MODEL] = request.model
    if request.address is not None:
        found[semconv.SERVER_ADDRESS] = request.address
    if request.port is not None:
        found[semconv.SERVER_PORT] = request.port
    if request.stream:
        found[semconv.REQUEST_STREAM] = True
    if request.conversation is not None:
        found[semconv.CONVERSATION_ID] = request.conversation
    if request.params:
        found.update(request.params)
        # A stop sequence is text of the prompt's author: content.
        if settings().content == "NO_CONTENT":
            found.pop(semconv.REQUEST_STOP_SEQUENCES, None)
    if call.run is not None:
        found.update(of_run(call.run, call.cycle))
    return found


def at_end(call: Call, cache_write: tuple[str, ...]) -> dict[str, Any]:
    """What is known when the call has ended. ``cache_write``: the flavours' names for cache-writing tokens."""
    found: dict[str, Any] = {}
    if call.response is not None:
        _response(call.response, found, cache_write)
    if call.error_type is not None:
        found[semconv.ERROR_TYPE] = call.error_type
        status = getattr(call.error, "status_code", None)
        if type(status) is int:
            found[semconv.HTTP_STATUS] = status
    if call.request.stream:
        if call.first_chunk is not None:
            found[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = call.first_chunk
        found[semconv.STREAM_CHUNKS] = call.chunks
    if call.stream_end is not None:
        found[semconv.STREAM_END] = call.stream_end
    if call.retries:
        found[semconv.RETRY_COUNT] = call.retries
    return found


def _response(response: Response, found: dict[str, Any], cache_write: tuple[str, ...]) -> None:
    if response.id is not None:
        found[semconv.RESPONSE_ID] = response.id
    if response.model is not None:
        found[semconv.RESPONSE_MODEL] = response.model
    if response.status is not None:
        found[semconv.RESPONSE_STATUS] = response.status
    if response.finish_reasons:
        found[semconv.RESPONSE_FINISH_REASONS] = tuple(response.finish_reasons)
    if response.conversation is not None:
        found[semconv.CONVERSATION_ID] = response.conversation
    if response.usage is not None:
        _usage(response.usage, found, cache_write)
    if response.tool_calls:
        found[semconv.TOOL_CALL_COUNT] = len(response.tool_calls)
        found[semconv.TOOL_CALL_NAMES] = tuple(call.name or "" for call in response.tool_calls)
        found[semconv.TOOL_CALL_IDS] = tuple(call.id or "" for call in response.tool_calls)
    if response.attributes:
        found.update(response.attributes)


def _usage(usage: Usage, found: dict[str, Any], cache_write: tuple[str, ...]) -> None:
    if usage.input is not None:
        found[semconv.USAGE_INPUT_TOKENS] = usage.input
    if usage.output is not None:
        found[semconv.USAGE_OUTPUT_TOKENS] = usage.output
    if usage.cache_read is not None:
        found[semconv.USAGE_CACHE_READ] = usage.cache_read
    if usage.cache_write is not None:
        for name in cache_write:
            found[name] = usage.cache_write
    if usage.reasoning is not None:
        found[semconv.USAGE_REASONING] = usage.reasoning


def of_content(content: Content, limit: int) -> dict[str, str]:
    """Messages, instructions and tool definitions as JSON strings of at most ``limit`` bytes that stay valid JSON."""
    return {name: bounded_json(getattr(content, part), limit) for name, part in _PARTS if getattr(content, part)}


def bounded_json(value: list[dict[str, Any]], limit: int) -> str:
    """``value`` as JSON within ``limit`` bytes: long strings are cut first, then elements from the middle."""
    encoded = _json(value)
    if len(encoded) <= limit:
        return encoded.decode()
    for most in (2048, 256, 32):
        cut = [_cut(item, most) for item in value]
        encoded = _json(cut)
        if len(encoded) <= limit:
            return encoded.decode()
    kept = [_cut(item, 32) for item in (value if len(value) < 3 else (value[0], value[-1]))]  # noqa: PLR2004 - the ends
    kept.insert(1, {"role": "system", "parts": [], "agent.truncated": len(value)})
    encoded = _json(kept)
    return encoded.decode() if len(encoded) <= limit else _json([{"agent.truncated": len(value)}]).decode()


def _json(value: Any) -> bytes:
    try:
        return _encode(value)
    except UnicodeEncodeError:  # a lone surrogate: models do stream them
        return _encode(_cut(value, 1 << 30))


def _cut(value: Any, most: int) -> Any:
    if isinstance(value, str):
        told = value if value.isascii() else value.encode("utf-8", "replace").decode()
        return told if len(told) <= most else f"{told[:most]}…[{len(told)} characters]"
    if isinstance(value, dict):
        return {key: _cut(item, most) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cut(item, most) for item in value]
    return value
