# SPDX-License-Identifier: Apache-2.0
"""Send recorded requests through the real clients, as a user's code would, and say how it went.

A parameter that today's client does not know goes into ``extra_body``, as its user would do; a request that the client
will not send even so is "refused", which is no failure of ours. `Player` does all of it: server, client, call.
"""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import anthropic
import groq
import openai

from .provider import Provider
from .traffic import Exchange, replies

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from .loopback import Received

_RESOURCES = {
    "chat": ("chat", "completions"),
    "responses": ("responses",),
    "embeddings": ("embeddings",),
    "completions": ("completions",),
    "messages": ("messages",),
}
_TAILS = {
    "chat": "/chat/completions",
    "responses": "/responses",
    "embeddings": "/embeddings",
    "completions": "/completions",
    "messages": "/v1/messages",
}
_API_ERRORS = (openai.OpenAIError, anthropic.AnthropicError, groq.GroqError)
_REFUSALS = (TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call went. ``result`` is the answer, or the list of a stream's items as far as they came.

    ``error`` is what was raised, ``extra`` names the parameters that had to go into ``extra_body``.
    """

    kind: Literal["ok", "error", "refused"]
    result: Any = None
    error: BaseException | None = None
    extra: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why it was refused or failed, in one line."""
        return "" if self.error is None else f"{type(self.error).__name__}: {self.error}".partition("\n")[0][:200]


@dataclass(frozen=True, slots=True)
class Call:
    """The method of a client that a user would call for an exchange, with its arguments."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    extra: tuple[str, ...] = ()


def resolve(client: Any, exchange: Exchange) -> Call:
    """Return the call for an exchange, on a sync or async client of OpenAI, Azure, Groq or Anthropic."""
    if exchange.kind is None:
        return _plain_call(client, exchange)
    resource = client.beta if "beta=true" in exchange.query and exchange.kind == "messages" else client
    for name in _RESOURCES[exchange.kind]:
        resource = getattr(resource, name, None)
        if resource is None:  # not an AttributeError, which `drive` would have to take for a fault
            raise TypeError(f"this version of the client has no {exchange.kind}")
    known = inspect.signature(resource.create).parameters
    arguments = {name: value for name, value in exchange.request.items() if name in known}
    extra = {name: value for name, value in exchange.request.items() if name not in known}
    if extra:
        arguments["extra_body"] = extra
    return Call(resource.create, arguments, tuple(extra))


def _plain_call(client: Any, exchange: Exchange) -> Call:
    # A leading "/v1" is part of the base URL of OpenAI's client, and of the path of Anthropic's.
    path = (
        exchange.path.removeprefix("/v1") if isinstance(client, openai.OpenAI | openai.AsyncOpenAI) else exchange.path
    )
    arguments: dict[str, Any] = {"path": f"{path}?{exchange.query}" if exchange.query else path, "cast_to": object}
    if exchange.method == "POST" and exchange.raw_request is not None:
        arguments["content"] = exchange.raw_request
    elif exchange.method == "POST":
        arguments["body"] = exchange.request
    if exchange.wants_stream and exchange.is_sse:
        arguments |= {"stream": True, "stream_cls": _stream_class(client)[object]}
    return Call(getattr(client, exchange.method.lower()), arguments)


def _stream_class(client: Any) -> Any:
    if isinstance(client, anthropic.Anthropic | anthropic.AsyncAnthropic):
        return anthropic.Stream if isinstance(client, anthropic.Anthropic) else anthropic.AsyncStream
    return openai.Stream if isinstance(client, openai.OpenAI) else openai.AsyncStream


def drive(client: Any, exchange: Exchange) -> Outcome:
    """Issue the recorded request on a sync client, a stream read to its end."""
    items: list[Any] = []
    extra: tuple[str, ...] = ()
    try:
        # Requests of many ages name models and parameters that today's clients warn of.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call = resolve(client, exchange)
            extra = call.extra
            result = call.function(**call.arguments)
            if not call.arguments.get("stream"):
                return Outcome("ok", result, None, extra)
            items.extend(result)
    except _API_ERRORS as error:
        return Outcome("error", items, error, extra)
    except _REFUSALS as error:
        return Outcome("refused", items, error, extra)
    return Outcome("ok", items, None, extra)


async def drive_async(client: Any, exchange: Exchange) -> Outcome:
    """Issue the recorded request on an async client, a stream read to its end."""
    items: list[Any] = []
    extra: tuple[str, ...] = ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call = resolve(client, exchange)
            extra = call.extra
            result = await call.function(**call.arguments)
            if not call.arguments.get("stream"):
                return Outcome("ok", result, None, extra)
            items.extend([item async for item in result])
    except _API_ERRORS as error:
        return Outcome("error", items, error, extra)
    except _REFUSALS as error:
        return Outcome("refused", items, error, extra)
    return Outcome("ok", items, None, extra)


drive_openai = drive_anthropic = drive


def client_for(exchange: Exchange, url: str, *, asynchronous: bool = False) -> Any:
    """Return the client that made such a request, pointed at ``url``; no retries, so that one call is one request."""
    prefix = "Async" if asynchronous else ""
    # With a timeout of the caller's own, anthropic does not refuse a long answer that is not streamed.
    common: dict[str, Any] = {"api_key": "test", "max_retries": 0, "timeout": 60.0}
    if exchange.provider == "anthropic":
        return getattr(anthropic, f"{prefix}Anthropic")(base_url=url, **common)
    if exchange.provider == "groq":
        return getattr(groq, f"{prefix}Groq")(base_url=url, **common)
    if exchange.provider == "azure_openai":
        deployment = exchange.path.partition("/deployments/")[2].partition("/")[0]
        version = exchange.query.removeprefix("api-version=")
        azure = getattr(openai, f"{prefix}AzureOpenAI")
        return azure(azure_endpoint=url, azure_deployment=deployment, api_version=version, **common)
    base = exchange.path.removesuffix(_TAILS[exchange.kind]) if exchange.kind else _base_of_other(exchange)
    return getattr(openai, f"{prefix}OpenAI")(base_url=url + base, **common)


def _base_of_other(exchange: Exchange) -> str:
    return "/v1" if exchange.path.startswith("/v1/") else ""


class Player:
    """A provider and the clients for it: `play` serves one exchange and drives the client that made it."""

    def __init__(self) -> None:
        self._provider = Provider()
        self._clients: dict[str, Any] = {}

    def play(self, exchange: Exchange) -> Outcome:
        """Send one recorded request and be answered as recorded; "refused" only if nothing was sent."""
        self._provider.clear()
        self._provider.reply = replies(exchange)
        outcome = drive(self._client(exchange), exchange)
        if outcome.kind == "refused" and self._provider.requests:
            return Outcome("error", outcome.result, outcome.error, outcome.extra)
        return outcome

    @property
    def requests(self) -> list[Received]:
        """What the last played call sent."""
        return self._provider.requests

    def close(self) -> None:
        """Close the clients and the provider."""
        for client in self._clients.values():
            client.close()
        self._provider.close()

    def __enter__(self) -> Self:
        self._provider.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _client(self, exchange: Exchange) -> Any:
        tail = _TAILS[exchange.kind] if exchange.kind else exchange.path
        key = f"{exchange.provider} {exchange.path.removesuffix(tail)} {exchange.query}"
        if key not in self._clients:
            self._clients[key] = client_for(exchange, self._provider.url)
        return self._clients[key]
