# SPDX-License-Identifier: Apache-2.0
"""openai 1.55 to 3.x: chat completions, responses, embeddings, legacy completions, with Azure and compatible hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.patching import Integration
from ..core.settings import capturing
from ._chat import CHAT, COMPLETIONS, EMBEDDINGS
from ._responses import FETCH, RESPONSES
from ._stainless import Stainless

if TYPE_CHECKING:
    from ..core.spec import Api

_POSTS = {"/chat/completions": CHAT, "/responses": RESPONSES, "/embeddings": EMBEDDINGS, "/completions": COMPLETIONS}
_FETCH_SLASHES = 2


def _route(method: str, url: str) -> Api | None:
    if method in {"post", "POST"}:
        return _POSTS.get(url) or _POSTS.get("/" + url.partition("?")[0].strip("/"))
    if url.startswith("/responses/") and url.count("/") == _FETCH_SLASHES and method in {"get", "GET"}:
        return FETCH
    return None


_client = Stainless(
    "openai",
    _route,
    by_class={"AzureOpenAI": "azure.ai.openai", "AsyncAzureOpenAI": "azure.ai.openai"},
    capture=capturing,
)

INTEGRATION = Integration(
    name="openai",
    distribution="openai",
    seams=_client.seams(
        [
            ("openai.lib.streaming.chat._completions", "ChatCompletionStreamManager"),
            ("openai.lib.streaming.responses._responses", "ResponseStreamManager"),
        ]
    ),
)
