# SPDX-License-Identifier: Apache-2.0
"""Ledger lines made by hand, for tests of what reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.envelope.line import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

RUN = "20261121T080000Z-aaaaaaaa"
BEGAN = 1_795_248_000_000_000_000
TRACE = "a" * 32


def line(event: str, payload: dict[str, Any], at_ms: float = 0, **keys: Any) -> dict[str, Any]:
    """An event ``at_ms`` milliseconds into the run; ``keys`` replace or add keys of the line."""
    time_ns = BEGAN + round(at_ms * 1e6)
    return {
        "schema_version": "1.0",
        "timestamp": timestamp(time_ns),
        "source": "coder",
        "run_id": RUN,
        "cycle": 0,
        "event": event,
        "payload": {**payload, "redacted_fields": []},
        "tags": {"agent": "coder"},
        "time_unix_nano": time_ns,
        "pid": 1,
        **keys,
    }


def span(
    name: str, number: int, parent: int | None = None, *, at: tuple[float, float] = (0, 100), **keys: Any
) -> dict[str, Any]:
    """A span that ended; ``number`` is its id, ``at`` its start and end in milliseconds of the run.

    ``attributes``, ``scope``, ``status``, ``events`` and ``trace`` go into the payload, other ``keys`` into the line.
    """
    ids = {"trace_id": keys.pop("trace", TRACE), "span_id": f"{number:016x}"}
    payload = {
        "name": name,
        "kind": "CLIENT",
        **ids,
        "parent_span_id": None if parent is None else f"{parent:016x}",
        "trace_state": "",
        "start_time_unix_nano": BEGAN + round(at[0] * 1e6),
        "end_time_unix_nano": BEGAN + round(at[1] * 1e6),
        "duration_ms": at[1] - at[0],
        "status": {"code": keys.pop("status", "UNSET")},
        "attributes": keys.pop("attributes", {}),
        "events": keys.pop("events", []),
        "links": [],
        "scope": {"name": keys.pop("scope", semconv.SCOPE)},
    }
    return line(semconv.EVENT_SPAN_ENDED, payload, at[1], **ids, **keys)


def call(number: int, *, at: tuple[float, float], model: str = "gpt-5", **keys: Any) -> dict[str, Any]:
    """A model call below the run's root, of cycle 1 unless told otherwise; ``attributes`` add to its own."""
    attributes = {semconv.OPERATION_NAME: semconv.CHAT, semconv.REQUEST_MODEL: model, **keys.pop("attributes", {})}
    cycle, parent = keys.pop("cycle", 1), keys.pop("parent", 1)
    return span(f"chat {model}", number, parent, at=at, attributes=attributes, cycle=cycle, **keys)


def tokens(given: int, made: int, *, cached: int | None = None, reasoning: int | None = None) -> dict[str, int]:
    """Token attributes."""
    told = {semconv.USAGE_INPUT_TOKENS: given, semconv.USAGE_OUTPUT_TOKENS: made}
    told |= {semconv.USAGE_CACHE_READ: cached} if cached is not None else {}
    return told | ({semconv.USAGE_REASONING: reasoning} if reasoning is not None else {})


def root(end: float, outcome: str = "ok", **keys: Any) -> dict[str, Any]:
    """The run's own span, id 1."""
    told = {semconv.OPERATION_NAME: semconv.INVOKE_AGENT, semconv.AGENT_NAME: "coder", semconv.RUN_OUTCOME: outcome}
    return span("invoke_agent coder", 1, at=(0, end), attributes={**told, **keys.pop("attributes", {})}, **keys)


def write(file: Path, lines: Iterable[dict[str, Any] | bytes]) -> Path:
    """Write lines to a file below a folder that may not be there yet; bytes go in as they are."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in lines))
    return file


TOOLS = {
    semconv.TOOL_CALL_NAMES: ["edit", "test"],
    semconv.RESPONSE_FINISH_REASONS: ["tool_call"],
    semconv.RETRY_COUNT: 1,
}
ATTEMPT = {"name": semconv.EVENT_ATTEMPT, "time_unix_nano": 1, "attributes": {semconv.HTTP_STATUS: 429}}
STOP = {semconv.RESPONSE_FINISH_REASONS: ["stop"], semconv.RESPONSE_TIME_TO_FIRST_CHUNK: 0.312}
FAILED = {semconv.ERROR_TYPE: "InternalServerError", semconv.HTTP_STATUS: 500, semconv.STREAM_END: "never_iterated"}

RUN_LINES: list[dict[str, Any]] = [
    line("resource", {"attributes": {"service.name": "coder"}}),
    call(2, at=(0, 900), attributes={**STOP, **tokens(1412, 188, cached=0, reasoning=128)}),
    call(3, at=(900, 2150), attributes={**TOOLS, **tokens(654, 241, cached=512)}, events=[ATTEMPT], status="UNSET"),
    line("plan.generated", {"steps": 3, "tools": ["a"]}, 950, cycle=1),
    call(4, at=(2200, 2500), model="claude-sonnet-5", cycle=2, attributes=STOP | tokens(9, 1)),
    call(5, at=(2500, 62_000), cycle=2, attributes=FAILED, status="ERROR"),
    root(62_300, "error", attributes={semconv.ERROR_TYPE: "InternalServerError"}, status="ERROR"),
]
