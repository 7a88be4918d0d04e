# SPDX-License-Identifier: Apache-2.0
"""A reply is written as scripted: whole, in chunks as they come, cut off, or never."""

from __future__ import annotations

import http.client
import socket
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from otel_agent_instrumentation.testing.provider import Provider
from otel_agent_instrumentation.testing.reply import BEFORE_HEAD, Reply, json_reply, stream_reply

if TYPE_CHECKING:
    from collections.abc import Generator

CHUNKS = (b"one", b"two", b"three")


@contextmanager
def ask(provider: Provider, timeout: float = 10) -> Generator[http.client.HTTPResponse]:
    with closing(http.client.HTTPConnection(provider.url.removeprefix("http://"), timeout=timeout)) as client:
        client.request("POST", "/", b"{}")
        yield client.getresponse()


def raw(provider: Provider) -> bytes:
    host, port = provider.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=10)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_body_of_bytes_has_a_length() -> None:
    with Provider() as provider:
        provider.enqueue(json_reply({"a": "é"}, status=418, headers={"X-One": "1"}))
        with ask(provider) as answer:
            assert answer.status == 418
            assert dict(answer.getheaders()) == {
                "content-type": "application/json",
                "X-One": "1",
                "Content-Length": "10",
            }
            assert answer.read() == '{"a":"é"}'.encode()


def test_chunks_are_framed_one_by_one() -> None:
    with Provider() as provider:
        provider.enqueue(Reply(body=CHUNKS), Reply(body=()), Reply(status=204))
        framed = b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"
        assert raw(provider).partition(b"\r\n\r\n")[2] == framed
        assert raw(provider).endswith(b"chunked\r\n\r\n0\r\n\r\n")
        assert raw(provider) == b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.mark.parametrize("sent", [0, 1, 3])
def test_chunks_come_as_they_are_sent(sent: int) -> None:
    # The server never goes on after `sent` chunks, so a client that sees them did not wait for more.
    with Provider() as provider:
        provider.enqueue(stream_reply(CHUNKS).but(hang_after=sent))
        with ask(provider, timeout=0.5) as answer:
            assert [answer.read1() for _ in range(sent)] == list(CHUNKS[:sent])
            with pytest.raises(TimeoutError):
                answer.read1()


@pytest.mark.parametrize("sent", [0, 1, 2, 3])
def test_dies_after_so_many_chunks(sent: int) -> None:
    with Provider() as provider:
        provider.enqueue(stream_reply(CHUNKS).but(die_after=sent))
        with ask(provider) as answer:
            assert [answer.read1() for _ in range(sent)] == list(CHUNKS[:sent])
            with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
                answer.read1()


def test_a_whole_body_dies_in_its_middle() -> None:
    with Provider() as provider:
        provider.enqueue(Reply(body=b"123456", die_after=1))
        with ask(provider) as answer:
            assert answer.read(3) == b"123"
            with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
                answer.read(3)


def test_dies_before_the_head_or_never_answers() -> None:
    with Provider() as provider:
        provider.enqueue(Reply(die_after=BEFORE_HEAD), Reply(hang=True))
        with pytest.raises(ConnectionResetError):
            raw(provider)
        client = http.client.HTTPConnection(provider.url.removeprefix("http://"), timeout=0.2)
        client.request("POST", "/", b"{}")
        with pytest.raises(TimeoutError):
            client.getresponse()
        client.close()


def test_delays_are_kept() -> None:
    with Provider() as provider:
        provider.enqueue(stream_reply(CHUNKS).but(delay_before=600), stream_reply(CHUNKS).but(delay_between=600))
        with pytest.raises(TimeoutError), ask(provider, timeout=0.3):
            pass
        with ask(provider, timeout=0.5) as answer:
            assert answer.read1() == b"one"
            with pytest.raises(TimeoutError):
                answer.read1()


def test_content_is_the_whole_body() -> None:
    assert stream_reply(CHUNKS).content == b"onetwothree"
    assert Reply(body=b"x").content == b"x"
