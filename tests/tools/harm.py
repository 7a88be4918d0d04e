# SPDX-License-Identifier: Apache-2.0
"""What a user's code does with the real clients, over loopback, and what it sees: for runs with and without us.

A scenario is one use of one client, its result told in a form that compares: types, texts, exceptions with what they
came from. `Lab.run` adds the bytes that the provider received. A scenario is there if the installed client can play it.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import anthropic
import groq
import openai

from otel_agent_instrumentation.core.engine import engine
from otel_agent_instrumentation.testing.provider import Provider, anthropic_error, by_path, openai_error

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from types import TracebackType
    from typing import Self

    from otel_agent_instrumentation.testing.provider import Received, Reply

MESSAGES = [{"role": "user", "content": "hello"}]
CHAT: dict[str, Any] = {"model": "gpt-5", "messages": MESSAGES}
CLAUDE: dict[str, Any] = {"model": "claude-next", "max_tokens": 64, "messages": MESSAGES}
# New with each request by the client's own will.
_RANDOM_HEADERS = frozenset({"idempotency-key", "x-stainless-idempotency-key"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the user saw, and what the provider received."""

    how: str
    seen: object
    wire: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One use of a client. ``calls``: the model calls in it that end, and so the spans that we owe."""

    name: str
    client: str
    play: Callable[[Lab], object]
    kind: str = "sync"

    def __str__(self) -> str:
        return f"{self.client}-{self.name}"


class Lab(AbstractContextManager["Lab"]):
    """A provider, one client of each kind, one event loop: kept over many runs, as making a client takes 20 ms."""

    def __init__(self) -> None:
        self.provider = Provider(by_path)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self.provider.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name in ("openai", "anthropic", "groq"):
            if name in vars(self):
                vars(self)[name].close()
            if f"async_{name}" in vars(self):
                self.wait(vars(self)[f"async_{name}"].close())
        self._runner.close()
        self.provider.close()

    def run(self, scenario: Scenario, *replies: Reply) -> Outcome:
        """Play a scenario, the provider giving ``replies`` first. What is no ``Exception`` is a broken test."""
        self.provider.clear()
        self.provider.enqueue(*replies)
        try:
            seen, how = told(scenario.play(self)), "returned"
        except Exception as error:  # noqa: BLE001 - to be compared
            seen, how = told_error(error), "raised"
        return Outcome(how, seen, tuple(map(wire, self.provider.requests)))

    def wait(self, awaitable: Any) -> Any:
        """Run a coroutine on the lab's loop."""
        return self._runner.run(awaitable)

    def resource(self, client: str, *, later: bool = False) -> tuple[Any, dict[str, Any]]:
        """The resource whose `create` asks the model, and its arguments."""
        made = getattr(self, f"async_{client}" if later else client)
        return (made.messages, CLAUDE) if client == "anthropic" else (made.chat.completions, CHAT)

    @cached_property
    def openai(self) -> openai.OpenAI:
        """A client without retries of its own."""
        return openai.OpenAI(base_url=f"{self.provider.url}/v1", api_key="k", max_retries=0)

    @cached_property
    def async_openai(self) -> openai.AsyncOpenAI:
        """The same, async."""
        return openai.AsyncOpenAI(base_url=f"{self.provider.url}/v1", api_key="k", max_retries=0)

    @cached_property
    def anthropic(self) -> anthropic.Anthropic:
        """A client without retries of its own."""
        return anthropic.Anthropic(base_url=self.provider.url, api_key="k", max_retries=0)

    @cached_property
    def async_anthropic(self) -> anthropic.AsyncAnthropic:
        """The same, async."""
        return anthropic.AsyncAnthropic(base_url=self.provider.url, api_key="k", max_retries=0)

    @cached_property
    def groq(self) -> groq.Groq:
        """A client without retries of its own."""
        return groq.Groq(base_url=self.provider.url, api_key="k", max_retries=0)

    @cached_property
    def async_groq(self) -> groq.AsyncGroq:
        """The same, async."""
        return groq.AsyncGroq(base_url=self.provider.url, api_key="k", max_retries=0)


@contextmanager
def quiet(off: bool) -> Generator[None]:
    """Run a block with our engine off, if ``off``: an uninstrumented run between two instrumented ones."""
    before = engine.enabled
    engine.enabled = before and not off
    try:
        yield
    finally:
        engine.enabled = before


def told(value: object) -> object:
    """A result in a form that compares: its type and its text, through lists and tuples."""
    if isinstance(value, (list, tuple)):
        return type(value)(told(item) for item in value)
    return value if isinstance(value, (str, bytes, int, type(None))) else (type(value).__qualname__, repr(value))


def told_error(error: BaseException | None) -> object:
    """An exception in a form that compares: with its cause, its context and what it carries."""
    if error is None:
        return None
    carried = {key: repr(value) for key, value in vars(error).items() if key in {"body", "code", "status_code", "type"}}
    chain = told_error(error.__cause__), told_error(error.__context__), error.__suppress_context__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - one of the faults that are tried
        text = "no text"
    return type(error).__module__, type(error).__qualname__, text, carried, chain


def wire(received: Received) -> tuple[object, ...]:
    """A request as it arrived, without what the client makes up anew each time."""
    headers = tuple((key, value) for key, value in received.headers if key.lower() not in _RANDOM_HEADERS)
    return received.method, received.target, headers, received.body


# --- sync ------------------------------------------------------------------------------------------------------------


def _create(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client)
    return resource.create(**arguments)


def _drained(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client)
    return list(resource.create(stream=True, **arguments))


def _closed(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client)
    stream = resource.create(stream=True, **arguments)
    first = next(stream)
    stream.close()
    return type(stream), first


def _left(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client)
    with resource.create(stream=True, **arguments) as stream:
        for chunk in stream:
            return chunk
    return None


def _raised_in_with(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client)
    with resource.create(stream=True, **arguments) as stream:
        for _ in stream:
            raise KeyError("the caller's own")
    return None


def _dies(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client)
    lab.provider.enqueue(_stream_reply(client).but(die_after=2))
    return list(resource.create(stream=True, **arguments))


def _raw(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client)
    answer = resource.with_raw_response.create(**arguments)
    return type(answer), answer.status_code, answer.parse()


def _raw_stream(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client)
    return list(resource.with_raw_response.create(stream=True, **arguments).parse())


def _streaming(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client)
    with resource.with_streaming_response.create(**arguments) as answer:
        return answer.status_code, list(answer.iter_lines())


def _streaming_parsed(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client)
    with resource.with_streaming_response.create(stream=True, **arguments) as answer:
        return list(answer.parse())


def _unread(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client)
    with resource.with_streaming_response.create(**arguments) as answer:
        return type(answer), answer.status_code


def _helper(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client)
    helper: Any = resource if hasattr(resource, "stream") else lab.openai.beta.chat.completions
    with helper.stream(**arguments) as stream:
        events = list(stream)
        final = stream.get_final_message() if client == "anthropic" else stream.get_final_completion()
    return type(stream), events, final


def _refused(client: str, lab: Lab) -> object:
    lab.provider.enqueue(anthropic_error(400) if client == "anthropic" else openai_error(400))
    return _create(client, lab)


def _retried(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client)
    error = anthropic_error(529) if client == "anthropic" else openai_error(500)
    lab.provider.enqueue(error.but(headers={**error.headers, "retry-after-ms": "1"}))
    once = getattr(lab, client).with_options(max_retries=1)
    resource = once.messages if client == "anthropic" else once.chat.completions
    return resource.create(**arguments)


# --- async -----------------------------------------------------------------------------------------------------------


async def _create_later(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client, later=True)
    return await resource.create(**arguments)


async def _drained_later(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client, later=True)
    return [chunk async for chunk in await resource.create(stream=True, **arguments)]


async def _closed_later(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client, later=True)
    stream = await resource.create(stream=True, **arguments)
    first = await anext(aiter(stream))
    await stream.close()
    return type(stream), first


async def _raised_in_with_later(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client, later=True)
    async with await resource.create(stream=True, **arguments) as stream:
        async for _ in stream:
            raise KeyError("the caller's own")


async def _raw_later(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client, later=True)
    answer = await resource.with_raw_response.create(**arguments)
    parsed = answer.parse()
    return type(answer), answer.status_code, await parsed if asyncio.iscoroutine(parsed) else parsed


async def _streaming_parsed_later(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client, later=True)
    async with resource.with_streaming_response.create(stream=True, **arguments) as answer:
        return [chunk async for chunk in await answer.parse()]


async def _helper_later(client: str, lab: Lab) -> object:
    resource, arguments = lab.resource(client, later=True)
    helper = resource if hasattr(resource, "stream") else lab.async_openai.beta.chat.completions
    async with helper.stream(**arguments) as stream:
        return type(stream), [event async for event in stream]


async def _refused_later(client: str, lab: Lab) -> object:
    lab.provider.enqueue(anthropic_error(400) if client == "anthropic" else openai_error(400))
    return await _create_later(client, lab)


def _stream_reply(client: str) -> Any:
    from otel_agent_instrumentation.testing.provider import anthropic_message_stream, openai_chat_stream

    return anthropic_message_stream() if client == "anthropic" else openai_chat_stream()


# --- the other APIs --------------------------------------------------------------------------------------------------


def _embeddings(client: str, lab: Lab) -> object:
    return lab.openai.embeddings.create(model="text-embedding-3-small", input="hello", encoding_format="float")


def _completion(client: str, lab: Lab) -> object:
    return lab.openai.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello")


def _response(client: str, lab: Lab) -> object:
    return lab.openai.responses.create(model="gpt-5", input="hello")


def _response_stream(client: str, lab: Lab) -> object:
    return list(lab.openai.responses.create(model="gpt-5", input="hello", stream=True))


def _response_helper(client: str, lab: Lab) -> object:
    with lab.openai.responses.stream(model="gpt-5", input="hello") as stream:
        return [type(event).__name__ for event in stream], stream.get_final_response()


def _beta(client: str, lab: Lab) -> object:
    return lab.anthropic.beta.messages.create(**CLAUDE)


_SYNC = (
    _create,
    _drained,
    _closed,
    _left,
    _raised_in_with,
    _dies,
    _raw,
    _raw_stream,
    _streaming,
    _streaming_parsed,
    _unread,
)
_SYNC_LAST = (_refused, _retried)
_ASYNC = (_create_later, _drained_later, _closed_later, _raised_in_with_later, _raw_later, _streaming_parsed_later)


def _scenarios(client: str) -> list[Scenario]:
    helpers = client != "groq"
    sync: list[Any] = [*_SYNC, *([_helper] if helpers else []), *_SYNC_LAST]
    later: list[Any] = [*_ASYNC, *([_helper_later] if helpers else []), _refused_later]
    if client == "anthropic":
        sync.append(_beta)
    if client == "openai":
        sync += [_embeddings, _completion]
        if hasattr(openai.OpenAI, "responses"):
            sync += [_response, _response_stream]
            if hasattr(import_module("openai.resources.responses").Responses, "stream"):
                sync.append(_response_helper)
    found = [Scenario(play.__name__.strip("_"), client, partial(play, client)) for play in sync]
    return found + [Scenario(play.__name__.strip("_"), client, partial(_wait, play, client), "async") for play in later]


def _wait(play: Any, client: str, lab: Lab) -> object:
    return lab.wait(play(client, lab))


CLIENTS = ("openai", "anthropic", "groq")
SCENARIOS: dict[str, list[Scenario]] = {client: _scenarios(client) for client in CLIENTS}


def named(*names: str, clients: Iterable[str] = CLIENTS) -> list[Scenario]:
    """The scenarios of these names, of all clients that have them."""
    return [scenario for client in clients for scenario in SCENARIOS[client] if scenario.name in names]
