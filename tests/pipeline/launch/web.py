# SPDX-License-Identifier: Apache-2.0
"""A WSGI and an ASGI application that emit one span a request."""

from __future__ import annotations

import os
from typing import Any

from wiring import emit

if os.environ.get("WEB_EMITS_AT_IMPORT"):
    emit("import")


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    emit("request")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    emit("request")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
