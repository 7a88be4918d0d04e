# SPDX-License-Identifier: Apache-2.0
"""The stream as clients see it: a real server over real files, killed and started again, slow clients and strangers."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import signal
import socket
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from ledger_lines import line
from stream_peers import BEARER, TOKEN, Listener, Server, server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)
PATIENCE = 60


def add(folder: Path, name: str, *events: str, **keys: Any) -> None:
    told = (
        line(event, {"text": "x" * keys.pop("size", 50)}, time_unix_nano=time.time_ns(), **keys) for event in events
    )
    with (folder / f"{name}.jsonl").open("ab") as file:
        file.write(b"".join(json.dumps(one).encode() + b"\n" for one in told))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - what is waited for is in files and sockets
            await asyncio.sleep(0.02)


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def events(listener: Listener) -> list[str]:
    return [one["event"] for one in listener.events]


def test_a_hundred_clients_are_told_each_event_once_through_a_restart_and_beside_a_stopped_one(tmp_path):
    asyncio.run(_hundred(tmp_path))


async def _hundred(folder: Path) -> None:
    add(folder, "p0", "before")
    first = await asyncio.to_thread(Server, folder)
    wanted = [Listener(type=f"work.{number % 20}") if number % 20 else Listener(type="work.*") for number in range(99)]
    listening = [asyncio.create_task(one.keep_listening(f"ws://127.0.0.1:{first.port}/stream")) for one in wanted]
    stopped = [await _stopped(first)]
    await until(lambda: all(one.position for one in wanted))
    told: list[str] = []

    def write(count: int) -> None:
        for _ in range(count):
            number = len(told)
            told.append(f"work.{number % 20}")
            add(folder, f"p{number % 4}", told[-1], pid=number % 4, seq=number, size=12_000)

    write(100)
    await until(lambda: all(one.events for one in wanted))
    await asyncio.to_thread(first.stop, signal.SIGKILL)
    write(100)
    (folder / "p1.jsonl").rename(folder / "p1.1.jsonl")
    write(100)
    second = await asyncio.to_thread(Server, folder, first.port)
    stopped.append(await _stopped(second))
    await until(lambda: len(wanted[0].events) > 200)
    write(100)
    every = [name for name in told if name.startswith("work.")]
    try:
        await until(lambda: all(len(one.events) >= len(_matching(one, every)) for one in wanted))
    finally:
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        for connection in stopped:
            connection.close()
        await asyncio.to_thread(second.stop)
    for one in wanted:
        assert sorted(events(one)) == sorted(_matching(one, every))
        for process in range(4):
            numbers = [told["seq"] for told in one.events if told["pid"] == process]
            assert numbers == sorted(set(numbers))
        assert one.lagged == 0


def _matching(listener: Listener, told: list[str]) -> list[str]:
    wanted = listener.query["type"]
    return told if wanted == "work.*" else [name for name in told if name == wanted]


async def _stopped(to: Server) -> socket.socket:
    """A client that is let in and then reads nothing."""
    connection = socket.create_connection(("127.0.0.1", to.port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(
        f"GET /stream?since=0 HTTP/1.1\r\nHost: 127.0.0.1:{to.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
    )
    return connection


def test_who_asks_for_all_there_is_gets_it_and_then_what_comes(tmp_path):
    async def ask(there: Server) -> Listener:
        listener = Listener(since="0", type="work.*")
        listening = asyncio.create_task(listener.listen(f"ws://127.0.0.1:{there.port}/stream"))
        await until(lambda: len(listener.events) == 1000)
        add(tmp_path, "a", "work.new", "other")
        await until(lambda: len(listener.events) == 1001)
        await ended(listening)
        return listener

    add(tmp_path, "a", *[f"work.{number}" for number in range(1000)], "other")
    with server(tmp_path) as there:
        listener = asyncio.run(ask(there))
    assert events(listener) == [f"work.{number}" for number in range(1000)] + ["work.new"]


def test_a_client_that_lags_is_told_so_and_can_have_the_rest(tmp_path):
    async def lag(there: Server) -> None:
        add(tmp_path, "a", "first")
        async with connect(there.url(since=0), additional_headers=BEARER, max_queue=1, compression=None) as slow:
            while "event" not in json.loads(await slow.recv()):
                pass
            big = "word " * 20_000
            quick = Listener(type="last")
            waiting = asyncio.create_task(quick.listen(f"ws://127.0.0.1:{there.port}/stream"))
            await until(lambda: quick.position is not None)
            for number in range(300):
                add(tmp_path, "a", f"work.{number}", tags={"big": big})
            add(tmp_path, "a", "last")
            await until(lambda: bool(quick.events))  # meanwhile it reads nothing: what waits grows beyond its bound
            await ended(waiting)
            listener = Listener(since=None, type="work.*")
            async with asyncio.timeout(PATIENCE):
                async for message in slow:
                    told = json.loads(message)
                    if "lagged" in told:
                        listener.lagged = told["lagged"]
                        break
                    listener.position = told.get("position", listener.position)
                    listener.events += [told["event"]] if "event" in told else []
        got = len(listener.events)
        assert 0 < got < 300
        assert listener.lagged == 301 - got
        listening = asyncio.create_task(listener.listen(f"ws://127.0.0.1:{there.port}/stream"))
        await until(lambda: len(listener.events) == 300)
        await ended(listening)
        assert events(listener) == [f"work.{number}" for number in range(300)]

    with server(tmp_path) as there:
        asyncio.run(lag(there))


async def refused(url: str, **headers: str) -> int:
    try:
        async with connect(url, additional_headers=headers):
            return 101
    except InvalidStatus as error:
        return 0 if TOKEN.encode() in (error.response.body or b"") else error.response.status_code


def test_nothing_is_served_without_the_token_or_to_a_page_of_another_origin(tmp_path):
    async def try_all(there: Server) -> None:
        url, own = there.url(), f"http://127.0.0.1:{there.port}"
        assert await refused(url) == 401
        assert await refused(url, Authorization="Bearer wrong") == 401
        assert await refused(url, Authorization=f"Basic {TOKEN}") == 401
        assert await refused(there.url(token=TOKEN)) == 401  # an address is no place for a token
        assert await refused(url, Cookie=f"otel-agent-{there.port}=wrong") == 401
        for origin in ("http://evil.example", "null", f"https://127.0.0.1:{there.port}", "http://127.0.0.1"):
            assert await refused(url, Origin=origin, **BEARER) == 403
        assert await refused(url, Origin=own, **BEARER) == 101
        assert await refused(url, Origin="https://dashboard.example", **BEARER) == 101
        assert await refused(there.url(since="yesterday"), **BEARER) == 400
        assert await refused(there.url(colour="red"), **BEARER) == 400
        assert await refused(there.url(severity="loud"), **BEARER) == 400

    add(tmp_path, "a", "secret")
    with server(tmp_path, "--origin", "https://dashboard.example/") as there:
        asyncio.run(try_all(there))
        for path in ("/", "/nowhere"):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f"http://127.0.0.1:{there.port}{path}")
            caught.value.close()
            assert caught.value.code == 401


def test_a_browser_is_let_in_once_and_keeps_a_cookie(tmp_path):
    add(tmp_path, "a", "x")
    with server(tmp_path) as there:
        page = f"http://127.0.0.1:{there.port}/"
        asking = http.client.HTTPConnection("127.0.0.1", there.port)
        asking.request("GET", f"/?token={TOKEN}")
        answer = asking.getresponse()
        answer.read()
        asking.close()
        assert (answer.status, answer.getheader("Location")) == (303, "/")
        cookie = answer.getheader("Set-Cookie", "")
        assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict"))
        assert TOKEN not in cookie
        request = urllib.request.Request(page, headers={"Cookie": cookie.partition(";")[0]})
        with urllib.request.urlopen(request) as told:  # noqa: S310 - of our own server
            assert b"/stream" in told.read()
        assert asyncio.run(refused(there.url(), Cookie=cookie.partition(";")[0])) == 101


def test_a_token_is_made_and_printed_where_none_is_given(tmp_path):
    with server(tmp_path, token=None) as there:
        assert there.process.stdout is not None
        token = there.process.stdout.readline().split()[-1]
        assert len(token) >= 32
        assert asyncio.run(refused(there.url(), Authorization=f"Bearer {token}")) == 101
        assert asyncio.run(refused(there.url(), **BEARER)) == 401


def test_a_line_that_another_program_wrote_leaves_redacted_and_one_that_is_none_stops_nothing(tmp_path):
    secret = "sk-" + "ant-api03-" + "a1B2c3D4" * 6

    async def hear(there: Server) -> list[Any]:
        listener, live = Listener(since="0"), Listener()
        url = f"ws://127.0.0.1:{there.port}/stream"
        listening = [asyncio.create_task(one.listen(url)) for one in (listener, live)]
        await until(lambda: live.position is not None and len(listener.events) == 3)
        with (tmp_path / "old.jsonl").open("a") as file:
            file.write(told)
        await until(lambda: len(listener.events) == 6 and len(live.events) == 3)
        for task in listening:
            await ended(task)
        return listener.events + live.events

    # As the shell function writes it: the keys were looked at, the values were not.
    shell = line("shell.said", {}) | {"payload": {"note": f"use {secret}", "redacted_fields": ["payload.password"]}}
    told = "".join(
        json.dumps(one) + "\n"
        for one in (
            {"event": "eval", "ts": 1761800000, "note": f"use {secret}"},
            line("no.object", {}) | {"payload": secret},
            shell | {"beside": [secret], "tags": {"key": secret}, "password": "hunter2"},
            line("after.it", {}),
        )
    )
    (tmp_path / "old.jsonl").write_text(told)
    with server(tmp_path) as there:
        heard = asyncio.run(hear(there))
    assert secret not in json.dumps(heard)
    assert "hunter2" not in json.dumps(heard)
    assert [one["event"] for one in heard] == ["eval", "shell.said", "after.it"] * 3
    assert heard[0]["payload"]["redacted_fields"] == ["payload.note"]
    assert heard[1]["payload"]["redacted_fields"] == ["payload.note", "payload.password"]


def test_a_position_among_many_files_leads_back(tmp_path):
    async def come_back(there: Server) -> list[str]:
        listener = Listener()
        url = f"ws://127.0.0.1:{there.port}/stream"
        for number in range(2):
            listening = asyncio.create_task(listener.listen(url))
            await until(lambda: listener.position is not None)
            add(tmp_path, f"p{number}", f"work.{number}")
            await until(lambda number=number: len(listener.events) > number)
            await ended(listening)
            add(tmp_path, "q", f"between.{number}")
        listening = asyncio.create_task(listener.listen(url))
        await until(lambda: len(listener.events) >= 4)
        await ended(listening)
        assert len(listener.position or "") > 8192  # as long an address as servers take by themselves
        return events(listener)

    for number in range(600):
        add(tmp_path, f"p{number}", "before")
    with server(tmp_path) as there:
        assert asyncio.run(come_back(there)) == ["work.0", "between.0", "work.1", "between.1"]


def test_it_ends_on_sigterm_and_says_what_is_wrong_with_its_port(tmp_path):
    there = Server(tmp_path)
    with pytest.raises(AssertionError, match="name another port by --port"):
        Server(tmp_path, there.port)
    code, said = there.stop()
    assert (code, said) == (0, "")


def test_garbage_on_its_port_does_not_end_it(tmp_path):
    with server(tmp_path) as there:
        for data in (b"\0" * 1000, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 1000, b"POST / HTTP/1.1\r\n\r\n"):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", there.port)) as stranger:
                stranger.sendall(data + b"\r\n\r\n")
                stranger.shutdown(socket.SHUT_WR)
        assert asyncio.run(refused(there.url(), **BEARER)) == 101
        assert there.stop() == (0, "")
