# SPDX-License-Identifier: Apache-2.0
"""A server of the stream in a process of its own, and clients of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

if TYPE_CHECKING:
    from collections.abc import Generator

TOKEN = "made-up-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Server:
    """`otel-agent serve` of ``folder``."""

    def __init__(self, folder: Path, port: int = 0, *arguments: str, token: str | None = TOKEN) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        if token is not None:
            environment["OTEL_AGENT_STREAM_TOKEN"] = token
        command = [str(Path(sys.executable).with_name("otel-agent")), "serve", str(folder), "--port", str(port)]
        self.process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        assert self.said, self.process.communicate()[1]
        self.port = int(self.said.rpartition(":")[2].partition("/")[0])

    def url(self, **query: Any) -> str:
        return f"ws://127.0.0.1:{self.port}/stream?{urlencode(query, doseq=True)}"

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


@contextlib.contextmanager
def server(folder: Path, *arguments: str, **keys: Any) -> Generator[Server]:
    made = Server(folder, 0, *arguments, **keys)
    try:
        yield made
    finally:
        made.stop()


class Listener:
    """A client that comes back where it was: connects again with the last position for as long as it is wanted."""

    def __init__(self, **query: Any) -> None:
        self.query = query
        self.position: str | None = query.pop("since", None)
        self.events: list[dict[str, Any]] = []
        self.lagged = 0
        self.seconds: list[float] = []
        """By event, how long after its time it came."""

    async def listen(self, url: str) -> None:
        since = {} if self.position is None else {"since": self.position}
        query = urlencode({**self.query, **since}, doseq=True)
        async with connect(f"{url}?{query}", additional_headers=BEARER, max_size=None, compression=None) as connection:
            async for message in connection:
                told = json.loads(message)
                self.position = told.get("position", self.position)
                self.lagged += told.get("lagged", 0)
                if "event" in told:
                    self.events.append(told["event"])
                    self.seconds.append(time.time() - told["event"]["time_unix_nano"] / 1e9)

    async def keep_listening(self, url: str) -> None:
        while True:
            with contextlib.suppress(OSError, WebSocketException):
                await self.listen(url)
            await asyncio.sleep(0.05)
