# SPDX-License-Identifier: Apache-2.0
"""Runs one way out of one stream and notes all that its caller, and the provider, could see of it."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from exit_shapes import BARE, Call
from opentelemetry import context as otel_context
from opentelemetry.trace import INVALID_SPAN, get_current_span

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from exit_shapes import Shape

    from otel_agent_instrumentation.testing.provider import Provider, Reply

ENOUGH = 2
QUIET_SECONDS = 0.04
_WATCHED = ("opentelemetry", "otel_agent_instrumentation", "asyncio")
# The second comes where a collection strikes while the client makes its chain of generators: the loop then closes an
# inner one before the outer that closes it, too. Without us as well (`gc.collect(0)` in `Response.aiter_raw` shows it).
_HTTP_GENERATOR = re.compile(
    r"closing of asynchronous generator <.* (Response\.aiter_\w+|\w+ByteStream\.__aiter__) "
    r"|RuntimeError\('aclose\(\): asynchronous generator is already running'\)"
)


@dataclass(slots=True)
class Seen:
    """What the caller sees while he reads; called with each item."""

    shape: Shape
    context: otel_context.Context
    items: list[str] = field(default_factory=list[str])
    types: list[str] = field(default_factory=list[str])
    strayed: list[str] = field(default_factory=list[str])
    kept: Any = None
    waiting: bool = False

    def __call__(self, item: Any) -> None:
        self.items.append(f"{type(item).__module__}.{type(item).__qualname__} {item!r}")
        self.look(f"item {len(self.items)}")

    @property
    def enough(self) -> bool:
        return len(self.items) >= ENOUGH

    def hold(self, held: Any) -> Any:
        """Note what kind of object the caller was given."""
        streams = (self.shape.sdk.Stream, self.shape.sdk.AsyncStream)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # anthropic before 1 deprecates asking for its helper
            is_stream = isinstance(held, streams)
        self.types.append(f"{type(held)!r} {is_stream} {type(vars(held).get('response'))!r}")
        self.look("opened")
        return held

    def look(self, where: str) -> None:
        """Note whether the caller's context is still his."""
        if otel_context.get_current() is not self.context or get_current_span() is not INVALID_SPAN:
            self.strayed.append(where)


@dataclass(frozen=True, slots=True)
class Way:
    """A way out: how the caller leaves, what the provider does, and what the span must say."""

    name: str
    leave: Callable[[Call, Seen], Any]
    end: str | None = None
    """The attribute `agent.stream.end`."""
    error: str | None = None
    """The span's `error.type`; ``SEEN`` is the class of what the caller saw."""
    reply: Callable[[Shape], Reply] | None = None
    cancel: str | None = None
    """When the task is cancelled: "sent", "head", "items" (the client waits for more) or "body"."""
    read_timeout: float = 10.0
    iterates: bool = True


SEEN = "what the caller saw"


@dataclass(slots=True)
class Outcome:
    """All that the caller and the provider saw. Equal with and without us."""

    items: list[str]
    types: list[str]
    error: str | None
    wire: list[tuple[Any, ...]]
    strayed: list[str]
    logged: list[str]
    noise: list[str] = field(compare=False)
    """What asyncio said: the HTTP client's own generators make it complain when a loop, not they, is left."""

    def noise_is_the_clients(self, plain: Outcome, way: Way) -> bool:
        """Whether asyncio said nothing that it does not say without us, where a loop is left behind by luck."""
        known = bool(plain.noise) or way.end == "abandoned"
        return all(_HTTP_GENERATOR.search(line) and known for line in self.noise)


@contextmanager
def watched() -> Generator[list[str]]:
    """Collect every record of OpenTelemetry's, asyncio's and our own loggers."""
    found: list[str] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: found.append(f"{record.levelname} {record.name}: {record.getMessage()}")
    for name in _WATCHED:
        logging.getLogger(name).addHandler(handler)
    try:
        yield found
    finally:
        for name in _WATCHED:
            logging.getLogger(name).removeHandler(handler)


@dataclass(slots=True)
class Run:
    """One scenario against the provider. ``settled`` is polled while client and loop still live, 1 s at most."""

    shape: Shape
    api: str
    way: Way
    provider: Provider
    settled: Callable[[Seen], bool] = lambda _: True
    items: int | None = None
    """How many items come before the provider goes quiet, where that is known from an earlier run."""

    def go(self, *, is_async: bool) -> Outcome:
        """Run it."""
        self.provider.clear()
        self.provider.reply = self.way.reply(self.shape) if self.way.reply else self.shape.reply
        mine = otel_context.set_value("caller", self)
        token = otel_context.attach(mine)
        seen = Seen(self.shape, mine)
        try:
            with watched() as logged:
                error = asyncio.run(self._async(seen)) if is_async else self._sync(seen)
                seen.kept = None
                gc.collect()
                seen.look("end")
        finally:
            otel_context.detach(token)
        wire = [(r.method, r.target, r.headers, r.body) for r in self.provider.requests]
        noise = [line for line in logged if " asyncio: " in line]
        ours = [line for line in logged if " asyncio: " not in line]
        return Outcome(seen.items, seen.types, error, wire, seen.strayed, ours, noise)

    def _client(self, *, is_async: bool) -> Any:
        timeout = self.way.read_timeout
        return self.shape.open(self.provider.url, is_async=is_async, timeout=timeout)

    def _sync(self, seen: Seen) -> str | None:
        error = None
        with self._client(is_async=False) as client:
            try:
                self.way.leave(Call(self.shape, self.api, client), seen)
            except Exception as raised:  # noqa: BLE001 - whatever the caller sees is what is compared
                error = name_of(raised)
            seen.look("left")
            gc.collect()
            deadline = time.monotonic() + 1
            while not self.settled(seen):
                assert time.monotonic() < deadline, "no span within a second"
                time.sleep(0.001)
        return error

    async def _async(self, seen: Seen) -> str | None:
        error = None
        async with self._client(is_async=True) as client:
            task = asyncio.ensure_future(self.way.leave(Call(self.shape, self.api, client), seen))
            if self.way.cancel:
                await self._ready(seen, task)
                task.cancel()
            try:
                await task
            except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001 - as above
                error = name_of(raised)
            del task
            seen.look("left")
            deadline = time.monotonic() + 1
            # A stream's cycle is free only when the loop has closed the generator that a `break` left.
            for turn in count():
                await asyncio.sleep(0.001)
                gc.collect()
                if turn and self.settled(seen):
                    break
                assert time.monotonic() < deadline, "no span within a second"
        return error

    async def _ready(self, seen: Seen, task: asyncio.Future[Any]) -> None:
        """Wait for the moment at which the task is to be cancelled."""
        if self.way.cancel == "sent":
            await self._until(task, lambda: bool(self.provider.requests))
        elif self.way.cancel == "head":
            await self._until(task, lambda: bool(seen.types))
        elif self.way.cancel == "body":
            await self._until(task, lambda: seen.waiting)
        elif self.items is not None:
            await self._until(task, lambda: len(seen.items) == self.items)
        else:
            await self._until(task, lambda: seen.enough)
            before = -1
            while before != len(seen.items):
                before = len(seen.items)
                await asyncio.sleep(QUIET_SECONDS)
        await asyncio.sleep(0.002)

    @staticmethod
    async def _until(task: asyncio.Future[Any], reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 5
        while not reached() and not task.done():
            if time.monotonic() > deadline:
                pytest.fail("the moment to cancel did not come")
            await asyncio.sleep(0.001)


def name_of(error: BaseException) -> str:
    """Return the class that the caller sees."""
    return f"{type(error).__module__}:{type(error).__qualname__}"


def counts_items(api: str) -> bool:
    """Whether what the caller sees one by one is what the stream's own iterator yields."""
    return api in BARE or api == "parse"
