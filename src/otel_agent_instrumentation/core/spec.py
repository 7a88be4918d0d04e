# SPDX-License-Identifier: Apache-2.0
"""The facts of one call, as plain data: what integrations produce and observers read. No OpenTelemetry SDK object."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext

    from .runs import Run

# Factories of fields are `dict` and `list` as they are: `dict[str, Any]` would cost each call half a microsecond more.


Kind = Literal["CLIENT", "INTERNAL", "SERVER"]


@dataclass(slots=True, eq=False, repr=False)
class Usage:
    """Token counts in the convention's sense (contracts 7). ``None`` means that the answer did not say."""

    input: int | None = None
    """All input tokens, cached and cache-writing ones included."""
    output: int | None = None
    """All output tokens, reasoning included."""
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


class Cost(NamedTuple):
    """What a call cost, and who says so."""

    usd: float
    source: str
    """`table`, or the library with its version."""
    date: str | None = None
    """Since when the price holds (ISO 8601), where the source tells."""


@dataclass(slots=True, eq=False, repr=False)
class ToolCall:
    """A tool call that the model asked for."""

    id: str | None
    name: str | None
    arguments: Any = None
    """As they came: a JSON text, or the object that the client made of it. Read only where somebody compares them."""


@dataclass(slots=True, eq=False, repr=False)
class Content:
    """What was said, in the convention's message shape (role and parts). Built only where content capture is on."""

    input: list[dict[str, Any]] = field(default_factory=list)  # pyright: ignore[reportUnknownVariableType]
    output: list[dict[str, Any]] = field(default_factory=list)  # pyright: ignore[reportUnknownVariableType]
    system: list[dict[str, Any]] = field(default_factory=list)  # pyright: ignore[reportUnknownVariableType]
    tools: list[dict[str, Any]] = field(default_factory=list)  # pyright: ignore[reportUnknownVariableType]
    arguments: Any = None
    """What a tool was called with, as JSON can say it."""
    hidden: tuple[str, ...] = ()
    """The arguments that its author keeps back: their names."""
    result: Any = None
    """What it answered."""


@dataclass(slots=True, eq=False, repr=False)
class Request:
    """What the caller asked for. ``body`` is the client's own object: read, never written or iterated if lazy."""

    operation: str
    """`gen_ai.operation.name`; empty where the convention has none for it."""
    provider: str = ""
    model: str | None = None
    name: str | None = None
    """The span's name, where it is not operation and model."""
    tool: str | None = None
    """The name of the tool that is run."""
    address: str | None = None
    port: int | None = None
    stream: bool = False
    params: dict[str, Any] = field(default_factory=dict)  # pyright: ignore[reportUnknownVariableType]
    """Attribute name (of semconv.py) to value."""
    attributes: dict[str, Any] | None = None
    """Further attributes that the span starts with, by the names of semconv.py."""
    labels: Mapping[str, str] | None = None
    """Metric labels that differ from the span's attributes: a tool's name that nobody declared is `other`."""
    conversation: str | None = None
    previous_response: str | None = None
    answers: Sequence[str] = ()
    """Ids of the tool calls whose results this request sends back, those after the last assistant turn only."""
    failed: Sequence[str] = ()
    """Those of them that are sent back as errors, where the API can say so."""
    tools: Any = None
    """The request's own list of tool definitions: read only if the model asks for one."""
    mark: int | None = None
    """A digest of what is asked, to notice that the same is asked again and again; None where there is none."""
    tool_call: ToolCall | None = None
    """The tool call that is run here, as far as its runner knows it."""
    owns_tokens: bool = True
    """False where another span owns the tokens of this call (contracts 7)."""
    body: Any = None


@dataclass(slots=True, eq=False, repr=False)
class Response:
    """What was answered, as far as it was seen."""

    id: str | None = None
    model: str | None = None
    status: str | None = None
    finish_reasons: Sequence[str] = ()
    usage: Usage | None = None
    tool_calls: Sequence[ToolCall] = ()
    conversation: str | None = None
    repeated: bool = False
    """Told before: an answer that is fetched again asks for nothing new."""
    attributes: Mapping[str, Any] | None = None
    """Further attributes by the names of semconv.py, e.g. the service tier."""
    error: str | None = None
    """The API's own code of a failure that the answer tells of and no exception: the call's `error.type`."""
    output: Any = None
    """The answer's own object(s), for the content reader; kept only where content capture is on."""


class Accumulator(Protocol):
    """Gathers a :class:`Response` from the chunks of one stream."""

    def add(self, chunk: Any, /) -> None:
        """Take one chunk as the client yields it (its own type, or the decoded JSON object)."""
        ...

    def response(self) -> Response:
        """What was seen so far."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the API's own end marker was seen: leaving the stream after it is no early exit."""
        ...


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Api:
    """One API of a library, as pure functions over its requests, answers and chunks."""

    operation: str
    request: Callable[[Any, Request], None]
    """Reads the request's body into the :class:`Request`."""
    response: Callable[[Any], Response]
    """Reads an answer: the client's model, or the decoded JSON object."""
    accumulator: Callable[[bool], Accumulator] | None = None
    """Given whether to keep content; None where the API has no streams."""
    content: Callable[[Request, Response | None], Content] | None = None
    kind: Kind = "CLIENT"
    """The kind of its spans."""
    durations: tuple[str, ...] | None = None
    """The metrics that it is recorded in: its duration in a histogram, itself in a counter. None: the flavour's own, of
    a model call."""
    chained: bool = False
    """Whether a later request may name this one's answer as the one that it follows (`previous_response_id`)."""
    dialect: str = ""
    """Whose tool calls and results belong together: those of one dialect."""


@dataclass(slots=True, eq=False, repr=False)
class Call:
    """One instrumented call from begin to end. Mutable, owned by the engine; observers keep state in ``slots``."""

    library: str
    api: Api
    request: Request
    context: Context
    """The context in which the library's code runs: at first that of the span above, then with the call's own span."""
    start_ns: int = field(default_factory=time.time_ns)
    start_clock: int = field(default_factory=time.perf_counter_ns)
    end_ns: int = 0
    duration: float = 0.0
    """Seconds from begin to end."""
    first_chunk: float | None = None
    """Seconds from begin to the first chunk of a stream."""
    chunks: int = 0
    response: Response | None = None
    error: BaseException | None = None
    error_type: str | None = None
    """The convention's `error.type`. Set by a `finish` that knows of a failure which no exception tells."""
    status_code: Any = None
    """The HTTP status that the error carries."""
    stream_end: str | None = None
    retries: int = 0
    attempts: list[tuple[int, int | None]] = field(default_factory=list)  # pyright: ignore[reportUnknownVariableType]
    """Failed attempts within the client's own retries: (time in ns, HTTP status or None for a connection fault)."""
    last_status: int | None = None
    more: bool = False
    """Told in a burst, with others right behind it: what only the last of a burst needs may be left out."""
    run: Run | None = None
    cycle: int = 0
    above: SpanContext | None = None
    """The ids of the span that this call's span is a child of, None for a root."""
    span: Span | None = None
    ids: SpanContext | None = None
    """The ids of the call's own span; they outlive ``span``."""
    started: Mapping[str, Any] | None = None
    """The attributes that its span started with."""
    told: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None
    """Its content attributes and those of the completion hook, once they were made: span and event share them."""
    cost: Cost | None = None
    """What it cost, where that is known."""
    turn: list[None] = field(default_factory=[None].copy)
    """Popped by whoever ends the call: `list.pop` is atomic, so exactly one does."""


class Observer(Protocol):
    """Sees every call end, and begin if it has an `on_start`. A fault here costs this observer's signal, for this call.

    `on_start(call)` is told before the call runs, when the request's facts are there. One that puts work off has a
    `flush()`, which `Engine.drain` calls.
    """

    name: str

    def on_end(self, call: Call) -> None:
        """The call has ended, once. All facts are there."""
        ...
