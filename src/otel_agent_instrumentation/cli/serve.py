# SPDX-License-Identifier: Apache-2.0
"""Serve a page that shows runs live, and the ledger's events as they come, over WebSocket.

Follows the files of FOLDER (by default the ledger's) and tells each event to every client that asks for it, at
ws://HOST:PORT/stream; the page is at http://HOST:PORT/ (docs/looking.md, docs/stream.md). Who has the token is served;
one is made and printed where none is given by OTEL_AGENT_STREAM_TOKEN. Exit codes: 0 ended, 1 the port cannot be had,
2 wrong usage, or the extra `stream` is missing.
"""

from __future__ import annotations

import asyncio
import importlib.util
import secrets
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .. import config
from ..ledger import serve
from ..redaction.policy import Policy
from ._pages import Pages
from ._text import clean, put
from .report import address

if TYPE_CHECKING:
    import argparse

_DONE, _FAILED, _UNUSABLE = 0, 1, 2
_PORT = 4327


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="the folder to follow; by default the ledger's")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=_PORT, help="port, 0 for any that is free (default: %(default)s)")
    parser.add_argument(
        "--origin", action="append", default=[], help="a web page's origin that may read the stream, e.g. https://x.org"
    )
    parser.add_argument(
        "--jaeger", type=address, metavar="URL", help="Jaeger's address, which the page's spans lead to"
    )


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    if importlib.util.find_spec("websockets") is None:
        return _fail("`serve` needs the extra: pip install 'otel-agent-instrumentation[stream]'", _UNUSABLE)
    settings = config.load()
    shared = settings.ledger_path
    folder = Path(options.folder) if options.folder else Path(shared).parent if shared else Path(settings.ledger_dir)
    try:
        return asyncio.run(_serve(folder, settings, options))
    except OSError as error:
        return _fail(f"{options.host}:{options.port}: {error.strerror or error}; name another port by --port", _FAILED)


async def _serve(folder: Path, settings: config.Settings, options: argparse.Namespace) -> int:
    token = settings.stream_token or secrets.token_urlsafe(24)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    policy = Policy(settings=settings).at("stream")
    stream = serve.Stream(folder, policy, Pages(folder, policy, options.jaeger or "").answer)
    async with serve.serving(stream, options.host, options.port, token, tuple(options.origin)) as port:
        host = f"[{options.host}]" if ":" in options.host else options.host
        put(f"following {clean(str(folder))}, told at ws://{host}:{port}{serve.STREAM}")
        if settings.stream_token is None:
            put(f"token: {token}\nin a browser: http://{host}:{port}/?token={token}")
        if options.host not in serve.LOOPBACK:
            _fail("other machines can connect, and what is sent is not encrypted: put it behind a TLS proxy", _DONE)
        sys.stdout.flush()
        await stop.wait()
    return _DONE


def _fail(message: str, code: int) -> int:
    put(f"otel-agent: {message}", sys.stderr)
    return code
