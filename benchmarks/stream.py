# SPDX-License-Identifier: Apache-2.0
"""How long after it was told an event is in the file, and on the stream: clients that want everything, one stopped.

Agent, server and clients are processes of their own on one machine; the clients share one: part of the time is theirs.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Generator

_SECONDS = 10
_LOADS = ((50, 100), (200, 100), (4000, 2))  # events a second, clients
_TOKEN = "made-up-token"  # noqa: S105 - of a server that lives for seconds
_AGENT = """
import sys, time
from otel_agent_instrumentation import emit_event, run
rate, seconds = map(int, sys.argv[1:])
with run("bench"):
    begin = time.monotonic()
    for number in range(rate * seconds):
        time.sleep(max(0.0, begin + number / rate - time.monotonic()))
        emit_event("task_progress", {"goal": "explain the loop", "attempt": number, "quality": 0.85, "text": "x" * 400})
"""


@contextmanager
def _server(folder: Path) -> Generator[int]:
    command = [str(Path(sys.executable).with_name("otel-agent")), "serve", str(folder), "--port", "0"]
    environment = {**os.environ, "OTEL_AGENT_STREAM_TOKEN": _TOKEN}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            told = process.stdout.readline() if process.stdout is not None else ""
            yield int(told.rpartition(":")[2].partition("/")[0])
        finally:
            process.send_signal(signal.SIGTERM)


def _stopped(port: int) -> socket.socket:
    """A client that is let in and then reads nothing."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(
        f"GET /stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {_TOKEN}\r\n\r\n".encode()
    )
    return connection


async def _listen(port: int, seen: list[tuple[int, bytes | str]], ready: asyncio.Semaphore) -> None:
    from websockets.asyncio.client import connect

    headers = {"Authorization": f"Bearer {_TOKEN}"}
    async with connect(f"ws://127.0.0.1:{port}/stream", additional_headers=headers, compression=None) as connection:
        await connection.recv()
        ready.release()
        while True:
            message = await connection.recv()
            seen.append((time.time_ns(), message))


def _watch(folder: Path, seen: list[tuple[int, bytes | str]], ended: threading.Event) -> None:
    """Note when each line is in the file."""
    rest = b""
    with ExitStack() as stack:
        files: list[BinaryIO] = []
        while not ended.wait(0.005):
            files = files or [stack.enter_context(path.open("rb")) for path in folder.glob("*.jsonl")]
            *lines, rest = (rest + files[0].read() if files else b"").split(b"\n")
            now = time.time_ns()
            seen.extend((now, line) for line in lines)


async def _measure(folder: Path, port: int, rate: int, clients: int) -> tuple[list[float], list[float], int]:
    recorded: list[tuple[int, bytes | str]] = []
    streamed: list[list[tuple[int, bytes | str]]] = [[] for _ in range(clients - 1)]
    ready = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(_listen(port, seen, ready)) for seen in streamed]
    for _ in tasks:
        await ready.acquire()
    ended = threading.Event()
    watching = asyncio.create_task(asyncio.to_thread(_watch, folder, recorded, ended))
    environment = {**os.environ, "OTEL_AGENT_LEDGER_DIR": str(folder)}
    agent = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("opentelemetry-instrument")),
        *(sys.executable, "-c", _AGENT, str(rate), str(_SECONDS)),
        env=environment,
    )
    await agent.wait()
    await asyncio.sleep(2)
    ended.set()
    await watching
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    complete = sum(len(_delays(seen)) == rate * _SECONDS for seen in streamed)
    return _delays(recorded), sorted(delay for seen in streamed for delay in _delays(seen)), complete


def _delays(seen: list[tuple[int, bytes | str]]) -> list[float]:
    found: list[float] = []
    for now, message in seen:
        told: Any = json.loads(message)
        event = told["event"] if isinstance(told.get("event"), dict) else told  # a message, or a line of the file
        if event.get("event") == "task_progress":
            found.append((now - event["time_unix_nano"]) / 1e9)
    return sorted(found)


def main() -> None:
    """Print p50, p99 and the longest, by rate."""
    print(f"\nseconds from `emit_event` on (clients that want all, one of them stopped; {_SECONDS} s each)")
    for rate, clients in _LOADS:
        folder = Path(f"at-{rate}").resolve()
        folder.mkdir()
        with _server(folder) as port, _stopped(port):
            recorded, streamed, complete = asyncio.run(_measure(folder, port, rate, clients))
        print(f"  {rate} a second, {clients} clients: {complete} of {clients - 1} were told all {rate * _SECONDS}")
        for name, delays in (("in the file", recorded), ("on the stream", streamed)):
            p50, p99 = (delays[int(len(delays) * part)] for part in (0.5, 0.99))
            print(f"    {name:14} p50 {p50:5.2f}   p99 {p99:5.2f}   longest {delays[-1]:5.2f}   ({len(delays)})")
