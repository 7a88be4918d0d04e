# SPDX-License-Identifier: Apache-2.0
"""A call's facts under the convention's names. Each attribute in one place, for span, event and ledger alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import semconv
from ..core.settings import current as settings

if TYPE_CHECKING:
    from ..core.runs import Run
    from ..core.spec import Call, Response, Usage


def of_run(run: Run, cycle: int) -> dict[str, Any]:
    """What every span and log below a run carries."""
    found: dict[str, Any] = {semconv.RUN_ID: run.id, semconv.AGENT_NAME: run.agent, **run.stamp}
    if cycle:
        found[semconv.CYCLE] = cycle
    return found


def at_start(call: Call) -> dict[str, Any]:
    """What a sampler may see, as the convention lists it. What else the request tells comes at the end."""
    request = call.request
    found: dict[str, Any] = {}
    if request.operation:
        found[semconv.OPERATION_NAME] = request.operation
    if request.provider:
        found[semconv.PROVIDER_NAME] = request.provider
    if request.tool is not None:
        found[semconv.TOOL_NAME] = request.tool
    if request.model is not None:
        found[semconv.REQUEST_MODEL] = request.model
    if request.address is not None:
        found[semconv.SERVER_ADDRESS] = request.address
    if request.port is not None:
        found[semconv.SERVER_PORT] = request.port
    if request.stream:
        found[semconv.REQUEST_STREAM] = True
    if request.attributes:
        found.update(request.attributes)
    return found


def at_end(call: Call, cache_write: tuple[str, ...]) -> dict[str, Any]:
    """What is known when the call has ended. ``cache_write``: the flavours' names for cache-writing tokens."""
    found: dict[str, Any] = {}
    add_end(found, call, cache_write)
    return found


def add_end(found: dict[str, Any], call: Call, cache_write: tuple[str, ...]) -> None:
    """Put what is known at the end into ``found``, in place: a fault half way keeps the facts before it."""
    _request(call, found)
    if call.response is not None:
        _response(call.response, found, cache_write)
    if call.error_type is not None:
        found[semconv.ERROR_TYPE] = call.error_type
        if type(call.status_code) is int:
            found[semconv.HTTP_STATUS] = call.status_code
    if call.request.stream:
        if call.first_chunk is not None:
            found[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = call.first_chunk
        found[semconv.STREAM_CHUNKS] = call.chunks
    if call.stream_end is not None:
        found[semconv.STREAM_END] = call.stream_end
    if call.retries:
        found[semconv.RETRY_COUNT] = call.retries
    cost = call.cost
    if cost is not None:
        found[semconv.COST_MICROUSD] = round(cost.usd * 1_000_000)  # a collector's policy on numbers wants whole ones
        found[semconv.COST_SOURCE] = cost.source
        if cost.date is not None:
            found[semconv.COST_DATE] = cost.date


def _request(call: Call, found: dict[str, Any]) -> None:
    request = call.request
    if request.conversation is not None:
        found[semconv.CONVERSATION_ID] = request.conversation
    if request.params:
        found.update(request.params)
        # A stop sequence is text of the prompt's author: content.
        if settings().content not in {"SPAN_ONLY", "SPAN_AND_EVENT"}:
            found.pop(semconv.REQUEST_STOP_SEQUENCES, None)
    if call.run is not None:
        found.update(of_run(call.run, call.cycle))


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
