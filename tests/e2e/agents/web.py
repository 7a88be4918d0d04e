# SPDX-License-Identifier: Apache-2.0
"""A server whose every request makes one model call: for gunicorn (`wsgi`) and uvicorn (`asgi`)."""

from __future__ import annotations

import os
from typing import Any

import openai


def _call() -> bytes:
    client = openai.OpenAI(base_url=os.environ["PROVIDER"] + "/v1", api_key="none")
    return client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "hi"}]).id.encode()


def wsgi(_: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [_call()]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    client = openai.AsyncOpenAI(base_url=os.environ["PROVIDER"] + "/v1", api_key="none")
    answer = await client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "hi"}])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": answer.id.encode()})
