# SPDX-License-Identifier: Apache-2.0
"""The models behind the demo: a provider on loopback that answers by the state of the conversation, always the same.

The executor gets it wrong twice; its second turn meets a rate limit first, which the client gets over by itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otel_agent_instrumentation.testing import sse
from otel_agent_instrumentation.testing.anthropic_bodies import ClaudeTokens, anthropic_events
from otel_agent_instrumentation.testing.openai_bodies import Tokens, Tool, chat_usage, openai_chat, openai_error
from otel_agent_instrumentation.testing.provider import Provider
from otel_agent_instrumentation.testing.reply import Reply, stream_reply
from otel_agent_instrumentation.testing.responses_bodies import openai_responses

if TYPE_CHECKING:
    from otel_agent_instrumentation.testing.loopback import Received

GPT, CLAUDE = "gpt-5-2025-08-07", "claude-sonnet-5"
RETRY_AFTER = 0.25

PLAN = """\
1. Split the text into number and unit pairs with a regular expression.
2. Add the pairs up in seconds, whatever their order.
3. Raise ValueError for anything that is not made of such pairs.
Confidence: 0.8"""

HEAD = '"""Durations as people write them."""\n\nUNITS = {"h": 3600, "m": 60, "s": 1}\n\n\n'
EDITS = (
    "import re\n\n"
    + HEAD
    + 'def seconds(text: str) -> int:\n    return int(re.match(r"\\d+", text)[0]) * UNITS[text[-1]]\n',
    "import re\n\n"
    + HEAD
    + 'def seconds(text: str) -> int:\n    pairs = re.findall(r"(\\d+)([hms])", text)\n'
    + "    return sum(int(count) * UNITS[unit] for count, unit in pairs)\n",
    "import re\n\n"
    + HEAD
    + 'def seconds(text: str) -> int:\n    if not re.fullmatch(r"(\\d+[hms])+", text):\n'
    + '        raise ValueError(f"not a duration: {text!r}")\n'
    + '    pairs = re.findall(r"(\\d+)([hms])", text)\n'
    + "    return sum(int(count) * UNITS[unit] for count, unit in pairs)\n",
)
REVIEWS = {
    1: ("revise", "One unit works. Read several, and refuse what is no duration.", ["two tests fail"], 0.2),
    2: ("revise", "Several units work. `5 apples` and `10m!` must raise ValueError.", ["one test fails"], 0.3),
    3: ("accept", "All three behaviours are there, and the code is short.", [], 0.4),
}
COMMIT = "Parse durations such as 1h30m, and refuse anything else"

PLAN_TOKENS = Tokens(input=412, output=188, reasoning=128)
EDIT_TOKENS = (
    Tokens(input=654, output=241, reasoning=128),
    Tokens(input=1163, output=318, cached=512, reasoning=192),
    Tokens(input=1790, output=352, cached=1024, reasoning=192),
)
REVIEW_TOKENS = {
    1: ClaudeTokens(input=903, output=74),
    2: ClaudeTokens(input=931, output=81),
    3: ClaudeTokens(input=402, output=66, cache_read=512),
}
COMMIT_TOKENS = Tokens(input=437, output=83, reasoning=64)


@dataclass(frozen=True, slots=True)
class Served:
    """The tokens of everything that the script serves, in the convention's sense: the input is the total."""

    input: int
    output: int
    cached: int
    reasoning: int


def served() -> Served:
    """What a whole run adds up to."""
    gpt = [PLAN_TOKENS, *EDIT_TOKENS, COMMIT_TOKENS]
    claude = REVIEW_TOKENS.values()
    return Served(
        sum(t.input for t in gpt) + sum(t.input + t.cache_read + t.cache_creation for t in claude),
        sum(t.output for t in gpt) + sum(t.output for t in claude),
        sum(t.cached for t in gpt) + sum(t.cache_read for t in claude),
        sum(t.reasoning for t in gpt),
    )


def route(received: Received) -> Reply:
    """Answer as the model of that path would."""
    body = received.json() if received.body.startswith(b"{") else {}
    if received.path.endswith("/chat/completions"):
        return _edit(body, received) if body.get("tools") else _plan()
    if received.path.endswith("/responses"):
        return openai_responses(COMMIT, tokens=COMMIT_TOKENS, id="resp_demo", model=GPT).but(delay_before=0.48)
    if received.path.endswith("/v1/messages"):
        return _review(json.dumps(body.get("messages")))
    return openai_error(404, message=f"nothing is served at {received.path}")


def _plan() -> Reply:
    head = {"id": "chatcmpl-plan", "object": "chat.completion.chunk", "created": 1_760_000_000, "model": GPT}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return sse.encode({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None})

    chunks = [chunk({"content": word}) for word in re.findall(r"\s*\S+", PLAN)]
    last = sse.encode({**head, "choices": [], "usage": chat_usage(PLAN_TOKENS)})
    told = [chunk({"role": "assistant", "content": ""}), *chunks, chunk({}, "stop"), last, sse.DONE]
    return stream_reply(told).but(delay_before=0.41, delay_between=0.016)


def _edit(body: dict[str, Any], received: Received) -> Reply:
    turn = sum(1 for message in body["messages"] if message["role"] == "assistant")
    if turn >= len(EDITS):
        return openai_error(400, message="the script is over")
    if turn == 1 and received.header("x-stainless-retry-count") == "0":
        return openai_error(429, retry_after=RETRY_AFTER, message="Rate limit reached.").but(delay_before=0.06)
    edit = json.dumps({"path": "durations.py", "content": EDITS[turn]})
    tools = [Tool("edit_file", edit, f"call_edit_{turn}"), Tool("run_tests", "{}", f"call_test_{turn}")]
    reply = openai_chat(tools=tools, tokens=EDIT_TOKENS[turn], id=f"chatcmpl-edit-{turn}", model=GPT)
    return reply.but(delay_before=(0.93, 0.71, 0.84)[turn])


def _review(conversation: str) -> Reply:
    passing = re.search(r"(\d) of 3 tests pass", conversation)
    turn = int(passing[1]) if passing else 0
    if turn not in REVIEWS:
        return openai_error(400, message="the script knows no such state")
    names = ("decision", "comments", "blocking_issues", "confidence_delta")
    review = dict(zip(names, REVIEWS[turn], strict=True))
    tool = Tool("submit_review", json.dumps(review), f"toolu_{turn}")
    events = anthropic_events(12, tools=[tool], tokens=REVIEW_TOKENS[turn], id=f"msg_{turn}", model=CLAUDE)
    # The model goes straight to the tool: no text before it.
    told = [event for event in events if event.get("index") != 0]
    for event in told:
        if "index" in event:
            event["index"] = 0
    chunks = [sse.encode(event, event=event["type"]) for event in told]
    return stream_reply(chunks).but(delay_before=0.29 + 0.03 * turn, delay_between=0.02)


def provider() -> Provider:
    """The provider, for a `with` block: it listens on a free port of 127.0.0.1 within it."""
    return Provider(route)
