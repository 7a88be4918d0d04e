# SPDX-License-Identifier: Apache-2.0
"""The server serves many connections at once and is gone, threads and descriptors too, when it is closed."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_agent_instrumentation.testing.loopback import Connection, Loopback, Received, ResetConnection

if TYPE_CHECKING:
    from collections.abc import Callable


def echo(connection: Connection, received: Received) -> None:
    connection.send(connection.head(200, {}, length=len(received.body)) + received.body)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def ask(server: Loopback, body: bytes = b"x") -> bytes:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    client.request("POST", "/", body)
    answer = client.getresponse().read()
    client.close()
    return answer


def test_keeps_the_connection_and_the_request_as_they_are() -> None:
    seen: list[Received] = []

    def answer(connection: Connection, received: Received) -> None:
        seen.append(received)
        echo(connection, received)

    with Loopback(answer) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        for body in (b"\x00 one", b"two"):
            client.request("POST", "//p/q?x=1", body, {"X-Case": "Kept"})
            assert client.getresponse().read() == body
        client.close()
    assert [one.connection for one in seen] == [1, 1]
    assert (seen[0].target, seen[0].path, seen[0].query) == ("//p/q?x=1", "//p/q", "x=1")
    assert ("X-Case", "Kept") in seen[0].headers
    assert seen[0].header("x-case") == "Kept"
    assert seen[0].header("absent") is None


def test_reads_a_chunked_request() -> None:
    with Loopback(echo) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        client.request(
            "POST", "/", iter([b"one", b"two"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
        )
        assert client.getresponse().read() == b"onetwo"
        client.close()


def test_two_hundred_at_once() -> None:
    together = threading.Barrier(200)

    def answer(connection: Connection, received: Received) -> None:
        together.wait(10)
        echo(connection, received)

    with Loopback(answer) as server, ThreadPoolExecutor(200) as pool:
        bodies = [str(number).encode() for number in range(200)]
        assert list(pool.map(lambda body: ask(server, body), bodies)) == bodies


def descriptors() -> int:
    """How many are open; 0 where the system does not tell."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_closing_ends_hanging_connections_threads_and_descriptors() -> None:
    threads, before = threading.active_count(), descriptors()
    with Loopback(lambda connection, _: connection.hang()) as server:
        clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
        for client in clients[:40]:
            client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        assert eventually(lambda: threading.active_count() >= threads + 51)
        began = time.monotonic()
    assert time.monotonic() - began < 1
    for client in clients:
        assert client.recv(1) == b""
        client.close()
    assert eventually(lambda: threading.active_count() == threads)
    assert descriptors() == before
    server.close()


def test_a_pause_does_not_outlive_the_server() -> None:
    with Loopback(lambda connection, _: connection.pause(600)) as server:
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert eventually(lambda: threading.active_count() > 2)
        began = time.monotonic()
    assert time.monotonic() - began < 1
    client.close()


def test_refuses_and_comes_back_on_the_same_port() -> None:
    with Loopback(echo) as server:
        assert ask(server) == b"x"
        for _ in range(3):
            server.refuse()
            with pytest.raises(ConnectionRefusedError):
                ask(server)
            server.listen()
            assert ask(server) == b"x"


def test_reset_is_seen_as_one() -> None:
    def answer(connection: Connection, received: Received) -> None:
        raise ResetConnection

    with Loopback(answer) as server, pytest.raises(ConnectionResetError):
        ask(server)


def test_counts_the_client_that_went_away() -> None:
    def answer(connection: Connection, received: Received) -> None:
        while True:
            connection.send(b"x" * 1000)

    with Loopback(answer) as server:
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        client.recv(10)
        client.close()
        assert eventually(lambda: server.disconnects == 1)


def test_a_taken_port_is_an_error_and_leaks_nothing() -> None:
    with Loopback(echo) as server, pytest.raises(OSError, match="in use"):
        Loopback(echo, port=server.port)
    with suppress(OSError):
        server.close()
