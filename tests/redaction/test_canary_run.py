# SPDX-License-Identifier: Apache-2.0
"""The demo with secrets planted everywhere, content on, through every exporter at once: none in any byte that left."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import random
import socket
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

import planted
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.testing import sse
from otel_agent_instrumentation.testing.otlp_grpc import GrpcSink
from otel_agent_instrumentation.testing.otlp_sink import OtlpSink
from otel_agent_instrumentation.testing.provider import Provider
from otel_agent_instrumentation.testing.reply import stream_reply
from receiver import Receiver
from route_peers import WebSocketPeer, ZmqPeer
from stream_peers import BEARER, Server, server

EXAMPLES = Path(__file__).parents[2] / "examples"
AGENT = Path(__file__).parent / "agents" / "canary.py"
LAUNCHER = Path(sys.executable).parent / "opentelemetry-instrument"
# One line each: a key of several lines is planted by itself.
ALL = {**planted.SECRETS, **planted.PII, **planted.KEYED}
INLINE = [kind for kind in ALL if kind not in {"private key", "form"}]
# Of one word: what can stand in a URL, a label, a name.
WORDS = [kind for kind in planted.SECRETS if kind != "private key"]
PLACES = {
    **dict.fromkeys(("prompt", "tool result", "attribute", "event", "exception", "log"), INLINE),
    **dict.fromkeys(("plan", "tool arguments", "link", "log attribute", "own log", "review", "resource"), INLINE[::2]),
    **dict.fromkeys(("command", "mcp", "tool", "run"), INLINE[::2]),
    "url": WORDS,
    "name": WORDS[:1],
    "label": WORDS[1:2],
}
EVERYWHERE = 40


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"canary_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Run:
    """What a run left, by way out."""

    code: int
    left: dict[str, bytes]
    needles: dict[str, tuple[str, str]]
    """Part of a secret to its kind and place."""
    http: OtlpSink
    ledger: list[dict[str, Any]]
    served: Any
    errors: str

    def found(self) -> list[tuple[str, str, str]]:
        return [
            (way, *where)
            for way, data in self.left.items()
            for needle, where in self.needles.items()
            if needle.encode() in data
        ]


def needle_of(kind: str, value: str) -> str:
    """The part to look for: what stays the same in JSON and in escapes, and cannot stand there by chance."""
    if kind in planted.PII:
        return value
    secret = planted.secret_of(kind, value) if kind in planted.KEYED else value
    middle = len(secret) // 2
    return secret if len(secret) < 20 else secret[middle - 8 : middle + 8]


def plant() -> tuple[dict[str, list[str]], dict[str, tuple[str, str]]]:
    secrets: dict[str, list[str]] = {}
    needles: dict[str, tuple[str, str]] = {}
    for place, kinds in PLACES.items():
        values = [ALL[kind](random.Random(f"{place} {kind}")) for kind in kinds]  # noqa: S311 - made up
        secrets[place] = values
        needles |= {needle_of(kind, value): (kind, place) for kind, value in zip(kinds, values, strict=True)}
    return secrets, needles


def model(secrets: dict[str, list[str]]) -> Any:
    """The demo's models, which repeat secrets: in a streamed plan cut anywhere, in tool arguments, in a review."""
    script = load("demo_provider")
    script.EDITS = tuple(edit + "\n# " + "\n# ".join(secrets["tool arguments"]) + "\n" for edit in script.EDITS)
    script.REVIEWS = {
        number: (decision, comments + "\n".join(secrets["review"]), *rest)
        for number, (decision, comments, *rest) in script.REVIEWS.items()
    }

    def plan() -> Any:
        text = script.PLAN + "\n" + "\n".join(secrets["plan"])
        head = {"id": "chatcmpl-plan", "object": "chat.completion.chunk", "created": 1_760_000_000, "model": script.GPT}

        def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return sse.encode({**head, "choices": [choice], "usage": None})

        pieces = [chunk({"content": text[at : at + 7]}) for at in range(0, len(text), 7)]
        last = sse.encode({**head, "choices": [], "usage": script.chat_usage(script.PLAN_TOKENS)})
        return stream_reply([chunk({"role": "assistant"}), *pieces, chunk({}, "stop"), last, sse.DONE])

    script._plan = plan

    def route(received: Any) -> Any:
        return replace(script.route(received), delay_before=0.0)

    script.quick_route = route
    return script


def go(folder: Path, *options: str) -> Run:
    secrets, needles = plant()
    script = model(secrets)
    (folder / "planted.json").write_text(json.dumps(secrets))
    (folder / "uploads").mkdir()
    receiver, pull, websocket = Receiver(), ZmqPeer(), WebSocketPeer()
    (folder / "otel-agent.toml").write_text(f"""
routes = [
  {{file = "routed.jsonl"}},
  {{call = "heard:tell"}},
  {{zmq = "tcp://127.0.0.1:{pull.port}"}},
  {{websocket = "ws://127.0.0.1:{websocket.port}"}},
]
""")
    with Provider(script.quick_route) as provider, OtlpSink() as http, GrpcSink() as grpc:
        resource = ",".join(f"note.{n}={quote(value)}" for n, value in enumerate(secrets["resource"]))
        done = subprocess.run(
            [
                LAUNCHER,
                sys.executable,
                AGENT,
                EXAMPLES,
                folder / "planted.json",
                folder / "own.txt",
                grpc.url,
                *options,
            ],
            cwd=folder,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(folder),
                "OPENAI_BASE_URL": f"{provider.url}/v1",
                "OPENAI_API_KEY": "demo",
                "ANTHROPIC_BASE_URL": provider.url,
                "ANTHROPIC_API_KEY": "demo",
                "OTEL_TRACES_EXPORTER": "otlp,console,agent_envelope",
                "OTEL_LOGS_EXPORTER": "otlp,console,agent_envelope",
                "OTEL_METRICS_EXPORTER": "otlp,console,agent_envelope,agent_prometheus",
                "OTEL_EXPORTER_PROMETHEUS_PORT": str(free_port()),
                "OTEL_AGENT_METRICS_ANONYMOUS": "true",
                "OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK": "upload",
                "OTEL_INSTRUMENTATION_GENAI_UPLOAD_BASE_PATH": str(folder / "uploads"),
                "OTEL_EXPORTER_OTLP_ENDPOINT": http.url,
                "OTEL_RESOURCE_ATTRIBUTES": resource + ",deploy.password=" + "hunter2-canary",
                "OTEL_AGENT_LEDGER_TCP": f"127.0.0.1:{receiver.port}",
                "OTEL_AGENT_EXIT_TIMEOUT": "20",
                "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT",
                "OTEL_AGENT_CONTENT_LIMIT": "4000000",
                "PYTHONFAULTHANDLER": "1",
            },
            check=False,
            capture_output=True,
            timeout=200,
        )
        files = list((folder / "logs" / "telemetry").glob("*.jsonl"))
        receiver.wait_for_last(b"".join(file.read_bytes() for file in files))
        left = {
            "route to a file": (folder / "routed.jsonl").read_bytes(),
            "route to ZeroMQ": b"\n".join(pull.messages),
            "route to WebSocket": "\n".join(map(str, websocket.messages)).encode(),
            "stream": streamed(folder / "logs" / "telemetry"),
            "otlp http": b"".join(request.body for request in http.requests),
            "otlp grpc": b"".join(request.body for request in grpc.requests),
            "console": done.stdout,
            "standard error": done.stderr,
            "ledger file": b"".join(file.read_bytes() for file in files),
            "ledger socket": b"".join(map(bytes, receiver.received)),
            "exporter of the agent's own": (folder / "own.txt").read_bytes(),
            "/metrics": (folder / "scraped.txt").read_bytes(),
            "route to a function": (folder / "heard.jsonl").read_bytes(),
            "uploads": b"".join(file.read_bytes() for file in (folder / "uploads").iterdir()),
        }
        for peer in (receiver, pull, websocket):
            peer.close()
        needles["hunter2-canary"] = ("password", "environment")
        lines = [json.loads(line) for line in left["ledger file"].splitlines()]
        return Run(done.returncode, left, needles, http, lines, script.served(), done.stderr.decode())


def streamed(folder: Path) -> bytes:
    """All that the stream tells of a folder."""
    heard: list[str | bytes] = []

    async def hear(there: Server) -> None:
        async with connect(there.url(since=0), additional_headers=BEARER, max_size=None) as connection:
            async with asyncio.timeout(60):
                while "event" in json.loads(message := await connection.recv()):
                    heard.append(message)

    with server(folder) as there:
        asyncio.run(hear(there))
    return "\n".join(map(str, heard)).encode()


def quote(value: str) -> str:
    from urllib.parse import quote as percent

    return percent(value, safe="")


@pytest.fixture(scope="module", params=["as it is", "faulty"])
def ran(request, tmp_path_factory) -> Run:
    options = ["faulty"] if request.param == "faulty" else []
    return go(tmp_path_factory.mktemp("canary"), *options)


pytestmark = pytest.mark.timeout(240)


def test_enough_was_planted_and_something_left_everywhere(ran):
    assert ran.code == 0, ran.errors[-3000:]
    assert len(INLINE) >= EVERYWHERE
    assert len(ran.needles) >= 10 * EVERYWHERE
    assert {way for way, data in ran.left.items() if len(data) < 1000} <= {"standard error"}


def test_no_secret_is_in_any_byte(ran):
    assert sorted(set(ran.found())) == []
    encoded = {base64.b64encode(f"xx{needle}xx".encode())[4:-8]: where for needle, where in ran.needles.items()}
    assert [where for data in ran.left.values() for part, where in encoded.items() if part in data] == []


def test_the_structure_is_intact(ran):
    spans = ran.http.spans()
    ids = {span.span_id for span in spans}
    calls = [
        span
        for span in spans
        if semconv.USAGE_INPUT_TOKENS in span.attributes and not span.attributes.get(semconv.RUN_IMPLICIT)
    ]
    planted = {"tools/call check_style", "execute_tool look_up", "execute_tool command python", "agent.step"}
    assert planted <= {span.name for span in spans}
    twice = 2
    assert sum(span.attributes[semconv.USAGE_INPUT_TOKENS] for span in calls) == twice * ran.served.input
    assert sum(span.attributes[semconv.USAGE_OUTPUT_TOKENS] for span in calls) == twice * ran.served.output
    parents = [span.parent_id for span in calls]
    assert all(parents)
    assert set(parents) <= ids
    ended = [line["payload"] for line in ran.ledger if line["event"] == semconv.EVENT_SPAN_ENDED]
    assert {span["span_id"] for span in ended} >= {span.span_id for span in calls}
    assert all(len(span["trace_id"]) == 32 for span in ended)
    # The agent's own children (it runs tests) write elsewhere, and send to the same socket.
    sent = {(line["pid"], line["seq"]) for line in map(json.loads, ran.left["ledger socket"].splitlines())}
    assert {(line["pid"], line["seq"]) for line in ran.ledger} <= sent
    for way in ("route to a file", "route to ZeroMQ", "route to WebSocket"):
        routed = {(line["pid"], line["seq"]) for line in map(json.loads, ran.left[way].splitlines())}
        assert {(line["pid"], line["seq"]) for line in ran.ledger} <= routed, way
    told = [json.loads(line)["event"] for line in ran.left["stream"].splitlines()]
    assert len(told) == len(ran.ledger)


def test_what_was_replaced_is_listed_and_counted(ran):
    listed = [field for line in ran.ledger for field in line["payload"]["redacted_fields"]]
    assert any("gen_ai.input.messages" in field for field in listed)
    points = ran.http.points(semconv.REDACTIONS) + ran.http.points("REDACTED:error")
    assert sum(point.value for point in points if point.value) > EVERYWHERE
