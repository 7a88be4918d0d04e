# SPDX-License-Identifier: Apache-2.0
"""What a subclass of the integration kit supplies, and how the kit makes its calls. The tests are in `kit`."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from opentelemetry.trace import StatusCode

from .. import config, integrations, semconv
from ..core import contain, patching
from . import kit_parts
from .provider import Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

    from ..core.patching import Integration
    from .capture import Captured
    from .kit_parts import Use
    from .reply import Reply


class Subject:
    """One client's integration: what a subclass of the kit supplies, and how its calls are made."""

    name: ClassVar[str]
    """The integration's name in `OTEL_AGENT_DISABLED`, which is the client's module."""
    request: ClassVar[dict[str, Any]]
    """The arguments of a plain call."""
    reply: ClassVar[Reply]
    """The provider's answer to it."""
    streamed: ClassVar[Reply]
    """Its answer to the streamed call: three chunks or more."""
    refused: ClassVar[Reply]
    """An error that the client does not retry."""
    busy: ClassVar[Reply]
    """One that it retries, with a header that keeps the pause short."""
    expected: ClassVar[dict[str, Any]]
    """Attributes that the span of the plain call must have, tokens among them."""
    expected_of_stream: ClassVar[dict[str, Any]]
    """Those of the drained streamed call."""
    said: ClassVar[tuple[str, str]]
    """Words of the request and of the answer, that leave the process only where content is on."""
    covered: ClassVar[Mapping[str, Use]]
    """The client's methods that are recorded, by path, and how each is called. What a version lacks is passed over."""
    declined: ClassVar[tuple[str, ...]]
    """The others, as paths or patterns (`files.*`). Each method of the client has to be in one of the two."""

    def client(self, url: str, retries: int = 0) -> Any:
        """A client for the provider at ``url``."""
        raise NotImplementedError

    def async_client(self, url: str, retries: int = 0) -> Any:
        """The async client."""
        raise NotImplementedError

    def method(self, client: Any) -> Callable[..., Any]:
        """The method of the plain and of the streamed call, on either client."""
        raise NotImplementedError

    def call(self, client: Any) -> Any:
        """Make the plain call."""
        return self.method(client)(**self.request)

    async def acall(self, client: Any) -> Any:
        """Make it on the async client."""
        return await self.method(client)(**self.request)

    def stream(self, client: Any) -> Any:
        """Make the streamed call: an iterator with a `close`."""
        return self.method(client)(**self.request, stream=True)

    async def astream(self, client: Any) -> Any:
        """Make it on the async client."""
        return await self.method(client)(**self.request, stream=True)

    def methods(self, client: Any) -> dict[str, Callable[..., Any]]:
        """The client's public methods by path: those of its resource classes in ``<name>.resources``."""
        return kit_parts.methods(client, f"{self.name}.resources")

    def integration(self) -> Integration:
        """The integration under test: built in, or contributed by an installed package."""
        found = integrations.load(self.name) if self.name in integrations.BUILTIN else None
        found = found or integrations.contributed()[self.name]()
        assert found is not None, f"the integration {self.name} cannot be loaded"
        return found

    def play(self, url: str, *, later: bool = False, streamed: bool = False, retries: int = 0) -> list[str]:
        """One call, on a client of its own: what its caller saw, as text."""
        if later:
            return asyncio.run(self._play_later(url, streamed=streamed, retries=retries))
        client = self.client(url, retries)
        try:
            return [repr(item) for item in (self.stream(client) if streamed else [self.call(client)])]
        finally:
            client.close()

    async def _play_later(self, url: str, *, streamed: bool, retries: int) -> list[str]:
        client = self.async_client(url, retries)
        try:
            if not streamed:
                return [repr(await self.acall(client))]
            return [repr(item) async for item in await self.astream(client)]
        finally:
            await client.close()

    def play_all(self, provider: Provider) -> list[list[str]]:
        """The plain and the streamed call, sync and async: what each caller saw."""
        seen: list[list[str]] = []
        for streamed in (False, True):
            provider.reply = self.streamed if streamed else self.reply
            seen += [self.play(provider.url, later=later, streamed=streamed) for later in (False, True)]
        return seen

    @pytest.fixture(autouse=True)
    def _by_itself(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Each test in a folder of its own, without settings; afterwards no fault was hidden and no patch is left."""
        monkeypatch.chdir(tmp_path)
        for variable in ("OTEL_AGENT_CONFIG", *(name for option in config.OPTIONS for name in option.env)):
            monkeypatch.delenv(variable, raising=False)
        contain.reset()
        yield
        assert contain.faults() == {}
        assert patching.patched() == []

    @pytest.fixture
    def provider(self) -> Iterator[Provider]:
        """A provider on loopback that gives the plain answer unless told otherwise."""
        with Provider() as provider:
            provider.reply = self.reply
            yield provider

    def use_covered(self, provider: Provider, captured: Captured) -> dict[str, list[str]]:
        """Call every covered method that this version has: the status of each call that was told, by path."""
        told: dict[str, list[str]] = {}
        client = self.client(provider.url)
        for path, use in self.covered.items():
            method, provider.reply = kit_parts.at(client, path), use.reply
            if method is not None:
                result = method(**use.arguments)
                kit_parts.used(use.then(result) if use.then else result)
                told[path] = outcomes(captured)
        client.close()
        return told

    async def use_covered_later(self, provider: Provider, captured: Captured) -> dict[str, list[str]]:
        """The same on the async client."""
        told: dict[str, list[str]] = {}
        client = self.async_client(provider.url)
        for path, use in self.covered.items():
            method, provider.reply = kit_parts.at(client, path), use.reply
            if method is not None:
                result = method(**use.arguments)
                await kit_parts.used_later(use.then(result) if use.then else result)
                told[path] = outcomes(captured)
        await client.close()
        return told


def facts(span: ReadableSpan, names: Mapping[str, Any]) -> dict[str, Any]:
    """The span's attributes of these names; lists as lists."""
    attributes = dict(span.attributes or {})
    told = {name: attributes.get(name) for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}


def outcomes(captured: Captured) -> list[str]:
    """How each call so far ended, `answered` where its answer was read; they are forgotten."""
    found = captured.calls()
    captured.clear()
    return [
        "answered"
        if span.status.status_code is StatusCode.UNSET and semconv.RESPONSE_MODEL in (span.attributes or {})
        else f"{span.status.status_code.name}, no answer read"
        for span in found
    ]


def raised(play: Callable[[], object]) -> BaseException:
    """What a call raises."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - any: it is compared
        play()
    return caught.value


def place(module: str, attribute: str) -> object:
    """What is at a seam's place itself, not inherited; None where this version has no such place."""
    try:
        parent: Any = importlib.import_module(module)
    except ImportError:
        return None
    *path, name = attribute.split(".")
    for step in path:
        parent = getattr(parent, step, None)
    return parent.__dict__.get(name) if parent is not None else None
