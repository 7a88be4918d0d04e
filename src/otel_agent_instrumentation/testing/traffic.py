# SPDX-License-Identifier: Apache-2.0
"""Recorded exchanges with real providers, as data: load them, serve them, count them.

The recordings are not part of the project: they stand at ``../shared/traffic`` from its root, and a test that needs
them skips where they are absent (`find_folder` returns None). `drive` sends a recorded request through the real client,
`truth` says what the body says. ``python -m otel_agent_instrumentation.testing.traffic`` prints a census of them.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import sse
from .anthropic_bodies import split_frames
from .reply import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROVIDERS = ("openai", "azure_openai", "deepseek", "openrouter", "dashscope", "groq", "anthropic")
"""The providers whose files the OpenAI, Groq and Anthropic clients can be pointed at."""

_KINDS = {
    "/chat/completions": "chat",
    "/responses": "responses",
    "/embeddings": "embeddings",
    "/completions": "completions",
    "/v1/messages": "messages",
}
_EVENT_STREAM = "application/vnd.amazon.eventstream"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One recorded request and its answer. ``request`` is the JSON body, ``raw_request`` the bytes where it is none."""

    id: str
    provider: str
    source: str
    method: str
    path: str
    query: str
    request: dict[str, Any]
    raw_request: bytes | None
    status: int
    content_type: str
    body: bytes

    @property
    def kind(self) -> str | None:
        """What is asked for: chat, responses, embeddings, completions or messages; None on any other path."""
        if self.method != "POST":
            return None
        return next((kind for suffix, kind in _KINDS.items() if self.path.endswith(suffix)), None)

    @property
    def is_sse(self) -> bool:
        """Whether the answer is a stream of server-sent events."""
        return self.content_type.startswith("text/event-stream")

    @property
    def wants_stream(self) -> bool:
        """Whether the request asks for a stream."""
        return bool(self.request.get("stream"))


def find_folder(start: Path | None = None) -> Path | None:
    """Return the recordings' folder: ``../shared/traffic`` from ``start`` or a parent of it.

    Without ``start`` it is looked for from the working directory, then from this file: a test may run in a folder of
    its own, and this file is then in the checkout.
    """
    for place in (Path.cwd(), Path(__file__).parent) if start is None else (start,):
        here = place.resolve()
        for folder in (here, *here.parents):
            if (folder.parent / "shared" / "traffic").is_dir():
                return folder.parent / "shared" / "traffic"
    return None


def load(provider: str, folder: Path | None = None) -> list[Exchange]:
    """Return a provider's exchanges in the file's order; raises ``FileNotFoundError`` where there are none."""
    where = folder or find_folder()
    if where is None:
        raise FileNotFoundError("no recorded traffic at ../shared/traffic")
    with (where / f"{provider}.jsonl").open(encoding="utf-8") as lines:
        return [_exchange(json.loads(line)) for line in lines]


def _exchange(row: dict[str, Any]) -> Exchange:
    recorded: dict[str, Any] = row["request"] or {}
    raw: str | None = recorded.get("_raw")
    body = base64.b64decode(row["response_b64"]) if "response_b64" in row else row["response"].encode()
    return Exchange(
        id=row["id"],
        provider=row["provider"],
        source=row["source"],
        method=row["method"],
        path=row["path"],
        query=row["query"] or "",
        request=recorded if raw is None else {},
        raw_request=None if raw is None else base64.b64decode(raw),
        status=row["status"],
        content_type=row["content_type"] or _guessed_type(body),
        body=body,
    )


def _guessed_type(body: bytes) -> str:
    return "text/event-stream" if body.startswith((b"data:", b"event:")) else "application/json"


def replies(exchange: Exchange) -> Reply:
    """Return the recorded answer, byte for byte; a stream goes event by event."""
    body: bytes | tuple[bytes, ...] = exchange.body
    if exchange.is_sse:
        body = tuple(sse.split(exchange.body))
    elif exchange.content_type.startswith(_EVENT_STREAM):
        body = tuple(split_frames(exchange.body))
    # An empty answer has no type: told that it is JSON, a client would try to read it.
    headers = {"content-type": exchange.content_type} if exchange.body else {}
    return Reply(exchange.status, headers, body)


def repeated(exchanges: Sequence[Exchange]) -> list[list[str]]:
    """Return the ids of exchanges that share method, path, query and request: a server cannot tell them apart."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for one in exchanges:
        key = [one.method, one.path, one.query, one.request, str(one.raw_request)]
        groups[json.dumps(key, sort_keys=True)].append(one.id)
    return [ids for ids in groups.values() if len(ids) > 1]


def census(provider: str, folder: Path | None = None) -> Iterator[str]:
    """Yield the lines of a provider's census, having sent each recorded request through the real client."""
    from .drive import Player  # here, as loading traffic must not need the clients

    exchanges = load(provider, folder)
    counts: defaultdict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    notes: defaultdict[str, list[str]] = defaultdict(list)
    with Player() as player:
        for exchange in exchanges:
            outcome = player.play(exchange)
            counts[exchange.kind or "other path", exchange.status][outcome.kind] += 1
            if outcome.kind == "refused":
                notes[f"refused, {exchange.path}: {outcome.reason}"].append(exchange.id)
            elif outcome.kind == "error" and exchange.status < 400:  # noqa: PLR2004 - an answer that should have been fine
                notes[f"failed, {exchange.path}: {outcome.reason}"].append(exchange.id)
            elif outcome.extra:
                notes[f"sent as extra_body, {exchange.path}: {', '.join(outcome.extra)}"].append(exchange.id)
    yield f"{provider}: {len(exchanges)} exchanges, {len(repeated(exchanges))} requests repeated"
    for (kind, status), outcomes in sorted(counts.items()):
        yield f"  {kind} {status}: " + ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))
    for note, ids in notes.items():
        yield f"  {len(ids)} {note} ({', '.join(ids[:3])}{', ...' if ids[3:] else ''})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the census of the providers named, or of all that the clients know."""
    parser = argparse.ArgumentParser(prog="traffic", description=__doc__)
    parser.add_argument("providers", nargs="*", default=PROVIDERS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args(arguments)
    for provider in options.providers:
        sys.stdout.writelines(f"{line}\n" for line in census(provider, options.folder))


if __name__ == "__main__":
    main()
