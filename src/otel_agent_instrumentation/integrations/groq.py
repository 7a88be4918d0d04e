# SPDX-License-Identifier: Apache-2.0
"""groq 0.13 to 1.x, Groq's own client: chat completions and embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.patching import Integration
from ..core.settings import capturing
from ._chat import CHAT, EMBEDDINGS
from ._stainless import Stainless

if TYPE_CHECKING:
    from ..core.spec import Api

_POSTS = {"/openai/v1/chat/completions": CHAT, "/openai/v1/embeddings": EMBEDDINGS}


def _route(method: str, url: str) -> Api | None:
    return _POSTS.get(url) if method in {"post", "POST"} else None


_client = Stainless("groq", _route, by_class={"Groq": "groq", "AsyncGroq": "groq"}, capture=capturing)

INTEGRATION = Integration(name="groq", distribution="groq", seams=_client.seams([]))
