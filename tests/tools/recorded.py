# SPDX-License-Identifier: Apache-2.0
"""Recorded exchanges driven through the real clients in every way a caller may, and held against what the body says."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import anthropic
import groq
import openai
from opentelemetry.trace import StatusCode

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.testing.drive import Outcome, client_for, drive, drive_async, resolve
from otel_agent_instrumentation.testing.provider import Provider
from otel_agent_instrumentation.testing.traffic import replies
from otel_agent_instrumentation.testing.truth import truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from otel_agent_instrumentation.testing.drive import Call
    from otel_agent_instrumentation.testing.traffic import Exchange
    from otel_agent_instrumentation.testing.truth import Truth

_TAILS = {
    "chat": "/chat/completions",
    "responses": "/responses",
    "embeddings": "/embeddings",
    "completions": "/completions",
    "messages": "/v1/messages",
}
_API_ERRORS = (openai.OpenAIError, anthropic.AnthropicError, groq.GroqError)
_FACTS = {
    "id": semconv.RESPONSE_ID,
    "model": semconv.RESPONSE_MODEL,
    "finish_reasons": semconv.RESPONSE_FINISH_REASONS,
    "input_tokens": semconv.USAGE_INPUT_TOKENS,
    "output_tokens": semconv.USAGE_OUTPUT_TOKENS,
    "cached_tokens": semconv.USAGE_CACHE_READ,
    "reasoning_tokens": semconv.USAGE_REASONING,
}
_CACHE_WRITE = {
    "1.41": (semconv.USAGE_CACHE_CREATION,),
    "latest": (semconv.USAGE_CACHE_WRITE,),
    "dual": (semconv.USAGE_CACHE_CREATION, semconv.USAGE_CACHE_WRITE),
}
_ALL_TOKENS = {
    semconv.USAGE_INPUT_TOKENS,
    semconv.USAGE_OUTPUT_TOKENS,
    semconv.USAGE_CACHE_READ,
    semconv.USAGE_CACHE_CREATION,
    semconv.USAGE_CACHE_WRITE,
    semconv.USAGE_REASONING,
}


# --- ways to call ----------------------------------------------------------------------------------------------------


def _resource(call: Call) -> Any:
    return cast("Any", call.function).__self__


def _raw(client: Any, exchange: Exchange) -> Any:
    call = resolve(client, exchange)
    parsed = _resource(call).with_raw_response.create(**call.arguments).parse()
    return list(parsed) if call.arguments.get("stream") else parsed


async def _raw_async(client: Any, exchange: Exchange) -> Any:
    call = resolve(client, exchange)
    parsed = (await _resource(call).with_raw_response.create(**call.arguments)).parse()
    parsed = await parsed if inspect.isawaitable(parsed) else parsed
    return [item async for item in parsed] if call.arguments.get("stream") else parsed


def _streaming(client: Any, exchange: Exchange) -> Any:
    call = resolve(client, exchange)
    with _resource(call).with_streaming_response.create(**call.arguments) as response:
        parsed = response.parse()
        return list(parsed) if call.arguments.get("stream") else parsed


async def _streaming_async(client: Any, exchange: Exchange) -> Any:
    call = resolve(client, exchange)
    async with _resource(call).with_streaming_response.create(**call.arguments) as response:
        parsed = await response.parse()
        return [item async for item in parsed] if call.arguments.get("stream") else parsed


def _bytes(client: Any, exchange: Exchange) -> Any:
    call = resolve(client, exchange)
    with _resource(call).with_streaming_response.create(**call.arguments) as response:
        return b"".join(response.iter_bytes())


async def _bytes_async(client: Any, exchange: Exchange) -> Any:
    call = resolve(client, exchange)
    async with _resource(call).with_streaming_response.create(**call.arguments) as response:
        return b"".join([piece async for piece in response.iter_bytes()])


_ADDED: dict[str, Callable[[Any, Exchange], Any]] = {
    "raw": _raw,
    "raw_async": _raw_async,
    "streaming": _streaming,
    "streaming_async": _streaming_async,
    "bytes": _bytes,
    "bytes_async": _bytes_async,
}
WAYS = ("create", "create_async", *_ADDED)
"""How an exchange is sent: by the method, by its raw or streaming-response twin, parsed or as bytes, sync or async."""


class Stage:
    """A provider, the clients for it and an event loop: `play` sends one exchange in one of the `WAYS`."""

    def __init__(self) -> None:
        self._provider = Provider()
        self._clients: dict[tuple[str, str, str, bool], Any] = {}
        self._runner = asyncio.Runner()

    def play(self, exchange: Exchange, way: str = "create") -> Outcome:
        """Send one recorded request, answered as recorded; "refused" only if nothing was sent."""
        self._provider.clear()
        self._provider.reply = replies(exchange)
        client = self._client(exchange, asynchronous=way.endswith("async"))
        if way == "create":
            outcome = drive(client, exchange)
        elif way == "create_async":
            outcome = self._runner.run(drive_async(client, exchange))
        else:
            outcome = self._added(client, exchange, _ADDED[way])
        if outcome.kind == "refused" and self._provider.requests:
            return Outcome("error", outcome.result, outcome.error, outcome.extra)
        return outcome

    def _added(self, client: Any, exchange: Exchange, send: Callable[[Any, Exchange], Any]) -> Outcome:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = send(client, exchange)
                return Outcome("ok", self._runner.run(result) if inspect.iscoroutine(result) else result)
        except _API_ERRORS as error:
            return Outcome("error", None, error)
        except (TypeError, ValueError) as error:
            return Outcome("refused", None, error)

    def _client(self, exchange: Exchange, *, asynchronous: bool) -> Any:
        # One for each base URL: making a client costs more than a call, it loads the certificates.
        base = exchange.path.removesuffix(_TAILS[exchange.kind]) if exchange.kind else str(exchange.path[:4] == "/v1/")
        key = (exchange.provider, base, exchange.query, asynchronous)
        if key not in self._clients:
            self._clients[key] = client_for(exchange, self._provider.url, asynchronous=asynchronous)
        return self._clients[key]

    def __enter__(self) -> Self:
        self._provider.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for (*_, asynchronous), client in self._clients.items():
            if asynchronous:
                self._runner.run(client.close())
            else:
                client.close()
        self._runner.close()
        self._provider.close()


def plain(value: Any) -> Any:
    """What a client returned, as data that compares."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.model_dump(warnings=False) if hasattr(value, "model_dump") else value


def told(outcome: Outcome) -> tuple[str, Any, str]:
    """An outcome as the caller saw it."""
    return outcome.kind, plain(outcome.result), outcome.reason


# --- what the body says, and what a span says ------------------------------------------------------------------------


def facts(body: Truth, flavour: str = "1.41") -> dict[str, Any]:
    """The attributes that ``body`` asks for; what it lacks is not there."""
    wanted = {attribute: getattr(body, name) for name, attribute in _FACTS.items()}
    wanted |= dict.fromkeys(_CACHE_WRITE[flavour], body.cache_write_tokens)
    return {name: value for name, value in wanted.items() if value not in {None, ()}}


def told_facts(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The same attributes as a span has them."""
    told = {name: value for name, value in attributes.items() if name in {*_FACTS.values(), *_ALL_TOKENS}}
    if semconv.RESPONSE_FINISH_REASONS in told:
        told[semconv.RESPONSE_FINISH_REASONS] = tuple(told[semconv.RESPONSE_FINISH_REASONS])
    return told


def owns_tokens(attributes: Mapping[str, Any] | None) -> bool:
    """Whether a span tells any token."""
    return not _ALL_TOKENS.isdisjoint(attributes or {})


@dataclass(slots=True)
class Sums:
    """Token sums by kind, and how many calls told each."""

    tokens: dict[str, int] = field(default_factory=dict[str, int])
    calls: dict[str, int] = field(default_factory=dict[str, int])

    def add(self, body: Truth) -> None:
        """Count what a body says."""
        counted = {
            "input": body.input_tokens,
            "output": body.output_tokens,
            "cache_read": body.cached_tokens,
            "cache_write": body.cache_write_tokens,
            "reasoning": body.reasoning_tokens,
        }
        for kind, count in counted.items():
            if count is not None:
                self.put(kind, count)

    def put(self, kind: str, tokens: int, calls: int = 1) -> None:
        """Count tokens of one kind."""
        self.tokens[kind] = self.tokens.get(kind, 0) + tokens
        self.calls[kind] = self.calls.get(kind, 0) + calls


class Span(NamedTuple):
    """What is looked at of a span, from wherever it was read."""

    name: str
    attributes: Mapping[str, Any]
    failed: bool

    @classmethod
    def of(cls, span: Any) -> Span:
        """From the SDK's span, or from the OTLP sink's."""
        if isinstance(span.status, str):
            return cls(span.name, span.attributes, span.status == "error")
        return cls(span.name, dict(span.attributes or {}), span.status.status_code is StatusCode.ERROR)


def problems_of_call(
    exchange: Exchange, error: str | None, spans: Iterable[Any], flavour: str = "1.41", *, unread: bool = False
) -> list[str]:
    """What is wrong with the spans of one accepted exchange, whose caller saw ``error`` (its class).

    ``unread``: the caller read bytes, so that an error in a stream was none to it.
    """
    calls = [Span.of(span) for span in spans]
    if len(calls) != 1:
        return [f"{len(calls)} spans: {[span.name for span in calls]}"]
    (span,) = calls
    body, found = truth(exchange), list[str]()
    if span.attributes.get(semconv.OPERATION_NAME) != body.operation:
        found.append(f"operation {span.attributes.get(semconv.OPERATION_NAME)}, not {body.operation}")
    wanted, seen = facts(body, flavour), told_facts(span.attributes)
    found += [
        f"{name} is {seen.get(name)!r}, the body says {wanted.get(name)!r}"
        for name in sorted({*wanted, *seen})
        if wanted.get(name) != seen.get(name)
    ]
    failed = body.error and not (unread and error is None)
    if span.failed != failed:
        found.append(f"status ERROR is {span.failed}, the body's error is {failed}")
    if span.attributes.get(semconv.ERROR_TYPE) != error or (failed and error is None):
        found.append(f"error.type {span.attributes.get(semconv.ERROR_TYPE)}, raised: {error}")
    return found


def raised(outcome: Outcome) -> str | None:
    """The class that the caller saw, if any."""
    return type(outcome.error).__qualname__ if outcome.error is not None else None
