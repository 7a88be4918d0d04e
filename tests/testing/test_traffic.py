# SPDX-License-Identifier: Apache-2.0
"""Recordings are found, read and served byte for byte."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_instrumentation.testing import traffic
from otel_agent_instrumentation.testing.anthropic_bodies import anthropic_bedrock_stream
from suite_policy import ROOT

if TYPE_CHECKING:
    from pathlib import Path

STREAM = 'data: {"a":1}\r\n\r\n: ping\n\ndata: [DONE]\n\n'
ROW: dict[str, Any] = {
    "id": "1",
    "provider": "openai",
    "source": "a test",
    "method": "POST",
    "path": "/v1/chat/completions",
    "query": "",
    "request": {"model": "m", "stream": True},
    "status": 200,
    "content_type": "",
    "response": STREAM,
}


def loaded(folder: Path, *rows: dict[str, Any]) -> list[traffic.Exchange]:
    (folder / "openai.jsonl").write_text("".join(json.dumps({**ROW, **row}) + "\n" for row in rows))
    return traffic.load("openai", folder)


def test_an_empty_type_is_guessed_from_the_body(tmp_path: Path) -> None:
    stream, whole = loaded(tmp_path, {}, {"response": "{}", "request": {}})
    assert (stream.is_sse, stream.wants_stream) == (True, True)
    assert (whole.content_type, whole.wants_stream) == ("application/json", False)


def test_a_stream_is_served_event_by_event(tmp_path: Path) -> None:
    (exchange,) = loaded(tmp_path, {})
    reply = traffic.replies(exchange)
    assert len(reply.body) == 3
    assert reply.content == exchange.body == STREAM.encode()


def test_bytes_are_bytes(tmp_path: Path) -> None:
    frames = anthropic_bedrock_stream(2)
    binary = {
        "response_b64": base64.b64encode(frames.content).decode(),
        "content_type": "application/vnd.amazon.eventstream",
    }
    raw = {"request": {"_raw": base64.b64encode(b"\x00form").decode()}}
    served, posted = loaded(tmp_path, binary, raw)
    assert traffic.replies(served).body == frames.body
    assert (posted.raw_request, posted.request) == (b"\x00form", {})


def test_an_empty_answer_has_no_type(tmp_path: Path) -> None:
    (exchange,) = loaded(tmp_path, {"status": 204, "response": ""})
    assert traffic.replies(exchange).headers == {}


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/v1/chat/completions", "chat"),
        ("POST", "/openai/deployments/x/chat/completions", "chat"),
        ("POST", "/v1/completions", "completions"),
        ("POST", "/v1/responses", "responses"),
        ("POST", "//openai/deployments/x/embeddings", "embeddings"),
        ("POST", "/v1/messages", "messages"),
        ("GET", "/v1/responses", None),
        ("POST", "/v1/complete", None),
        ("POST", "/v1/threads/t/messages", None),
    ],
)
def test_kinds(tmp_path: Path, method: str, path: str, kind: str | None) -> None:
    (exchange,) = loaded(tmp_path, {"method": method, "path": path})
    assert exchange.kind == kind


def test_repeated_requests_are_found(tmp_path: Path) -> None:
    rows = [{"id": "a"}, {"id": "b", "response": "{}"}, {"id": "c", "query": "x=1"}]
    assert traffic.repeated(loaded(tmp_path, *rows)) == [["a", "b"]]


def test_the_folder_is_found_from_below_the_root(tmp_path: Path) -> None:
    inside = tmp_path / "project" / "tests" / "x"
    inside.mkdir(parents=True)
    assert traffic.find_folder(inside) is None
    (tmp_path / "shared" / "traffic").mkdir(parents=True)
    assert traffic.find_folder(inside) == tmp_path / "shared" / "traffic"
    with pytest.raises(FileNotFoundError):
        traffic.load("openai", tmp_path)


@pytest.mark.shared
@pytest.mark.parametrize("provider", traffic.PROVIDERS)
def test_recordings_are_served_as_recorded_and_told_apart(provider: str) -> None:
    exchanges = traffic.load(provider)
    assert exchanges == traffic.load(provider, traffic.find_folder(ROOT))
    assert exchanges
    assert all(traffic.replies(exchange).content == exchange.body for exchange in exchanges)
    assert traffic.repeated(exchanges) == []


@pytest.mark.shared
def test_the_census_counts_every_exchange(capsys: pytest.CaptureFixture[str]) -> None:
    traffic.main(["groq"])
    assert capsys.readouterr().out.splitlines() == ["groq: 3 exchanges, 0 requests repeated", "  chat 200: 3 ok"]
