# SPDX-License-Identifier: Apache-2.0
"""Real clients pointed at a loopback provider. Without certificates: loading them costs more than a test's calls."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import anthropic
import openai

from otel_agent_instrumentation.testing.provider import Provider

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

ASK: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "What is the weather?"}]}
ASK_RESPONSES: dict[str, Any] = {"model": "gpt-5", "input": "What is the weather?"}
ASK_CLAUDE: dict[str, Any] = {"model": "claude-next", "max_tokens": 100, "messages": ASK["messages"]}


def _common(url: str, http: Any) -> dict[str, Any]:
    return {"base_url": url, "api_key": "k", "max_retries": 0, "http_client": http}


def sync_openai(url: str, **options: Any) -> Any:
    """An OpenAI client for ``url``, without retries."""
    return openai.OpenAI(**_common(f"{url}/v1", openai.DefaultHttpxClient(verify=False)) | options)


def async_openai(url: str, **options: Any) -> Any:
    """The same, async."""
    return openai.AsyncOpenAI(**_common(f"{url}/v1", openai.DefaultAsyncHttpxClient(verify=False)) | options)


def sync_anthropic(url: str, **options: Any) -> Any:
    """An Anthropic client for ``url``, without retries."""
    return anthropic.Anthropic(**_common(url, anthropic.DefaultHttpxClient(verify=False)) | options)


def async_anthropic(url: str, **options: Any) -> Any:
    """The same, async."""
    return anthropic.AsyncAnthropic(**_common(url, anthropic.DefaultAsyncHttpxClient(verify=False)) | options)


class Scene:
    """A provider and sync clients for it, made as they are asked for and closed at the end."""

    def __init__(self) -> None:
        self.provider = Provider()
        self._stack = ExitStack()
        self._openai: Any = None
        self._anthropic: Any = None

    @property
    def openai(self) -> Any:
        """The OpenAI client."""
        if self._openai is None:
            self._openai = self._stack.enter_context(sync_openai(self.provider.url))
        return self._openai

    @property
    def anthropic(self) -> Any:
        """The Anthropic client."""
        if self._anthropic is None:
            self._anthropic = self._stack.enter_context(sync_anthropic(self.provider.url))
        return self._anthropic

    def __enter__(self) -> Self:
        self._stack.enter_context(self.provider)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()
