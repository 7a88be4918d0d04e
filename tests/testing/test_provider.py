# SPDX-License-Identifier: Apache-2.0
"""The provider keeps requests byte for byte and answers many real clients at once, here and as a process."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

from otel_agent_instrumentation.testing import provider as module
from otel_agent_instrumentation.testing.provider import Provider, Received, Reply, openai_chat, openai_error

SOURCE = Path(module.__file__).parents[2]


def client(provider: Provider, retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{provider.url}/v1", api_key="test", max_retries=retries)


def chat(of: openai.OpenAI, text: str = "hi") -> str | None:
    answer = of.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
    return answer.choices[0].message.content


def test_keeps_the_request_byte_for_byte() -> None:
    body = b'{ "a" :\t1.0, "\\u00e9":"\xc3\xa9" }'
    with Provider() as provider:
        request = urllib.request.Request(f"{provider.url}/v1/embeddings?x=%20y", body, {"X-A": "b"})  # noqa: S310
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
        (received,) = provider.requests
    assert received.body == body
    assert (received.method, received.target) == ("POST", "/v1/embeddings?x=%20y")
    assert received.header("x-a") == "b"


def test_queue_then_reply_then_route() -> None:
    def route(received: Received) -> Reply:
        return openai_chat(f"routed {received.path}")

    with Provider(route) as provider, client(provider) as one:
        provider.enqueue(openai_chat("first"), openai_chat("second"))
        provider.reply = openai_chat("standing")
        assert [chat(one) for _ in range(4)] == ["first", "second", "standing", "standing"]
        provider.reply = None
        assert chat(one) == "routed /v1/chat/completions"
        provider.enqueue(openai_chat("forgotten"))
        provider.clear()
        assert provider.requests == []
        assert chat(one) == "routed /v1/chat/completions"


def test_a_stream_has_usage_only_if_asked_for() -> None:
    with Provider() as provider, client(provider) as one:
        counts: list[int] = []
        for asked in (True, False):
            stream = one.chat.completions.create(
                model="m", messages=[], stream=True, stream_options={"include_usage": asked}
            )
            counts.append(sum(chunk.usage is not None for chunk in stream))
    assert counts == [1, 0]


def test_a_retry_is_another_request() -> None:
    with Provider() as provider, client(provider, retries=2) as one:
        provider.enqueue(openai_error(429, retry_after=0.01), openai_error(500, retry_after=0.01))
        assert chat(one) == "Hello!"
        assert [request.header("x-stainless-retry-count") for request in provider.requests] == ["0", "1", "2"]
        assert len({request.body for request in provider.requests}) == 1


def test_an_unknown_path_is_not_found() -> None:
    with Provider() as provider, client(provider) as one, pytest.raises(openai.NotFoundError, match="/v1/nothing"):
        one.post("/nothing", body={}, cast_to=object)


def test_two_hundred_threads_share_a_client() -> None:
    def echo(received: Received) -> Reply:
        return openai_chat(received.json()["messages"][0]["content"])

    texts = [f"text {number}" for number in range(1000)]
    with Provider(echo) as provider, client(provider) as one, ThreadPoolExecutor(200) as pool:
        assert list(pool.map(lambda text: chat(one, text), texts)) == texts
        assert provider.disconnects == 0


def test_wait_for_sees_what_arrives() -> None:
    with Provider() as provider, client(provider) as one:
        assert not provider.wait_for(1, timeout=0.01)
        caller = threading.Thread(target=chat, args=(one,))
        caller.start()
        assert provider.wait_for(1)
        caller.join()


def test_closes_at_once_under_a_hanging_call() -> None:
    with Provider() as provider, client(provider) as one, ThreadPoolExecutor(1) as pool:
        provider.enqueue(openai_chat().but(hang=True))
        call = pool.submit(chat, one)
        assert provider.wait_for(1)
        began = time.monotonic()
        provider.close()
        assert time.monotonic() - began < 1
        assert isinstance(call.exception(5), openai.APIConnectionError)


def test_as_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", module.__name__, "--port", "0", "--chunks", "7"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        with openai.OpenAI(base_url=f"{url}/v1", api_key="test") as one:
            assert chat(one, "é") == "Hello!"
            events = list(one.completions.create(model="m", prompt="p", stream=True))
        with urllib.request.urlopen(f"{url}/-/requests", timeout=10) as answer:  # noqa: S310
            kept = json.load(answer)
        process.terminate()
        assert process.wait(5) == 0
    assert len(events) == 8
    assert [request["target"] for request in kept] == ["/v1/chat/completions", "/v1/completions"]
    assert json.loads(base64.b64decode(kept[0]["body_b64"]))["messages"][0]["content"] == "é"
