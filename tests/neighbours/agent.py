# SPDX-License-Identifier: Apache-2.0
"""An agent that calls two providers in many ways, told by its one argument, a JSON object, who instruments it and when.

Its steps are the names of `STEPS`, ``calls:<phase>`` and ``look:<phase>``. Writes to ``out``, by phase: what the calls
returned, what each left behind as spans, the token metric by scope; what doctor would show, and the attributes of the
clients' classes that are not what they were before.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import anthropic
import openai
import vendors
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_agent_instrumentation
from otel_agent_instrumentation.integrations import _neighbours as neighbours

PLAN: dict[str, Any] = json.loads(sys.argv[1])
SAY = [{"role": "user", "content": "hello"}]
CHAT = {"model": "gpt-4o-mini", "messages": SAY}
RESPONSE = {"model": "gpt-4o-mini", "input": "hello"}
EMBEDDING = {"model": "text-embedding-3-small", "input": "hello"}
CLAUDE = {"model": "claude-x", "max_tokens": 99, "messages": SAY}
STREAM = {"stream": True, "stream_options": {"include_usage": True}}

gpt: Any = openai.OpenAI(base_url=PLAN["url"] + "/v1", api_key="k")
agpt: Any = openai.AsyncOpenAI(base_url=PLAN["url"] + "/v1", api_key="k")
claude: Any = anthropic.Anthropic(base_url=PLAN["url"], api_key="k")
aclaude: Any = anthropic.AsyncAnthropic(base_url=PLAN["url"], api_key="k")


def helper() -> Any:
    with claude.messages.stream(**CLAUDE) as stream:
        return stream.get_final_message()


async def async_helper() -> Any:
    async with aclaude.messages.stream(**CLAUDE) as stream:
        return await stream.get_final_message()


def streaming_response() -> Any:
    with gpt.chat.completions.with_streaming_response.create(**CHAT) as response:
        return response.parse()


CALLS: dict[str, Any] = {
    "chat": lambda: gpt.chat.completions.create(**CHAT),
    "chat stream": lambda: gpt.chat.completions.create(**CHAT, **STREAM),
    "chat async": lambda: agpt.chat.completions.create(**CHAT),
    "chat async stream": lambda: agpt.chat.completions.create(**CHAT, **STREAM),
    "chat parse": lambda: gpt.chat.completions.parse(**CHAT),
    "chat raw": lambda: gpt.chat.completions.with_raw_response.create(**CHAT).parse(),
    "chat streaming response": streaming_response,
    "responses": lambda: gpt.responses.create(**RESPONSE),
    "responses stream": lambda: gpt.responses.create(**RESPONSE, stream=True),
    "responses async": lambda: agpt.responses.create(**RESPONSE),
    "embeddings": lambda: gpt.embeddings.create(**EMBEDDING),
    "embeddings async": lambda: agpt.embeddings.create(**EMBEDDING),
    "messages": lambda: claude.messages.create(**CLAUDE),
    "messages stream": lambda: claude.messages.create(**CLAUDE, stream=True),
    "messages async": lambda: aclaude.messages.create(**CLAUDE),
    "messages async stream": lambda: aclaude.messages.create(**CLAUDE, stream=True),
    "messages helper": helper,
    "messages async helper": async_helper,
    "beta messages": lambda: claude.beta.messages.create(**CLAUDE),
}


async def called(name: str) -> list[Any]:
    """Make a call and return what came back, chunk by chunk."""
    result = CALLS[name]()
    if inspect.isawaitable(result):
        result = await result
    # By name: the streams of some vendors have the methods of both kinds.
    streamed = name.endswith("stream")
    if streamed and "async" in name:
        result = [item async for item in result]
    items: list[Any] = list(result) if streamed else [result]
    return [[type(item).__qualname__, item.model_dump(mode="json")] for item in items]


class Witness:
    """The providers of the process, in memory, and what each call left in them."""

    def __init__(self) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.phases: dict[str, Any] = {}
        if PLAN["vendor"] == "logfire":
            vendors.configure_logfire(self.exporter, self.reader)
        elif not PLAN["launched"]:
            provider = TracerProvider()
            provider.add_span_processor(SimpleSpanProcessor(self.exporter))
            trace.set_tracer_provider(provider)
            metrics.set_meter_provider(MeterProvider([self.reader]))

    async def call(self, phase: str) -> None:
        """Make the calls, and keep what they returned and left behind."""
        results: dict[str, Any] = {}
        spans: dict[str, Any] = {}
        before = self.tokens()
        if "cache" not in PLAN["steps"]:
            forget()
        for name in PLAN["calls"] or CALLS:
            first = len(self.exporter.get_finished_spans())
            results[name] = await called(name)
            spans[name] = [
                (span.instrumentation_scope.name, span.name, owns_tokens(dict(span.attributes or {})))
                for span in self.exporter.get_finished_spans()[first:]
                if span.instrumentation_scope is not None
            ]
        tokens = {
            scope: {kind: value - before.get(scope, {}).get(kind, 0) for kind, value in kinds.items()}
            for scope, kinds in self.tokens().items()
        }
        tokens = {scope: kinds for scope, kinds in tokens.items() if any(kinds.values())}
        self.phases[phase] = {"results": results, "spans": spans, "tokens": tokens}

    def tokens(self) -> dict[str, dict[str, float]]:
        """Sums of the token metric by scope and type."""
        sums: dict[str, dict[str, float]] = {}
        data = self.reader.get_metrics_data() if PLAN["vendor"] == "logfire" or not PLAN["launched"] else None
        for resource in data.resource_metrics if data is not None else ():
            for found in resource.scope_metrics:
                for metric in found.metrics:
                    for point in metric.data.data_points if metric.name == "gen_ai.client.token.usage" else ():
                        kinds = sums.setdefault(found.scope.name, {})
                        kind = str((point.attributes or {})["gen_ai.token.type"])
                        kinds[kind] = kinds.get(kind, 0) + getattr(point, "sum", 0)
        return sums


def owns_tokens(attributes: dict[str, Any]) -> bool:
    """Whether a span says how many tokens were used, in any vendor's dialect."""
    return any(("usage" in key or "token_count" in key) and isinstance(attributes[key], int) for key in attributes)


def looks(modules: dict[str, Any]) -> dict[str, int]:
    """The identity of every attribute of the clients' own classes, and of their modules' functions."""
    found: dict[str, int] = {}
    for name, module in modules.items():
        for key, value in list(vars(module).items()):
            if issubclass(type(value), type) and value.__module__ == name:
                members = {member: it for member, it in vars(value).items() if member != "__annotations__"}
                found |= {f"{name}.{key}.{member}": id(it) for member, it in members.items()}
            elif inspect.isroutine(value):
                found[f"{name}.{key}"] = id(value)
    return found


def bury() -> None:
    """A library that wraps what is wrapped already: whoever is below cannot be taken off."""
    completions: Any = importlib.import_module("openai.resources.chat.completions").Completions
    inner = completions.create

    @functools.wraps(inner)
    def over(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs)

    completions.create = over


def forget() -> None:
    """Drop what the clients keep: their resources, which keep accessors made from their methods as they were."""
    for client in (gpt, agpt, claude, aclaude):
        for name in ("chat", "responses", "embeddings", "messages", "beta"):
            vars(client).pop(name, None)


def cache() -> None:
    """Make the accessors that keep the methods they were made from for as long as the client lives."""
    assert gpt.chat.completions.with_raw_response
    assert gpt.chat.completions.with_streaming_response


STEPS: dict[str, Any] = {
    "theirs": lambda: vendors.instrument(PLAN["vendor"]),
    "theirs off": lambda: vendors.uninstrument(PLAN["vendor"]),
    "theirs on clients": lambda: vendors.instrument_clients(gpt, agpt, claude, aclaude),
    "ours": otel_agent_instrumentation.instrument,
    "ours on anthropic": lambda: otel_agent_instrumentation.instrument(only=["anthropic"]),
    "ours off": otel_agent_instrumentation.uninstrument,
    "bury": bury,
    "cache": cache,
}


async def main() -> dict[str, Any]:
    witness = Witness()
    if not PLAN["launched"]:
        with suppress_instrumentation():  # so that all that is lazy is imported
            for name in CALLS:
                await called(name)
        forget()
    modules = {
        name: module
        for name, module in sys.modules.items()
        if name.split(".")[0] in {"openai", "anthropic"} and ".types" not in name
    }
    before, changed, reports = looks(modules), {}, {}
    for step in PLAN["steps"]:
        word, _, label = step.partition(":")
        if word == "calls":
            await witness.call(label)
        elif word == "look":
            after = looks(modules)
            changed[label] = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
            reports[label] = [
                (f"{it.neighbour.distribution} {it.neighbour.client}", it.state, it.owner) for it in neighbours.report()
            ]
        else:
            STEPS[step]()
    return {"phases": witness.phases, "changed": changed, "reports": reports}


if __name__ == "__main__":
    Path(PLAN["out"]).write_text(json.dumps(asyncio.run(main())))
