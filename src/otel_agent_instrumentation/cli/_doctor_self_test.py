# SPDX-License-Identifier: Apache-2.0
"""Doctor's self-test: one call of each API of each client against a provider on loopback, and what came out of it.

What must come out: one span with the answer's tokens, one point of the duration metric, one line of the ledger.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .. import semconv
from ..bootstrap import ledger
from ..core import contain
from ._doctor_packages import DISTRIBUTION
from ._doctor_report import Finding, attempt
from ._doctor_responder import INPUT, MODEL, OUTPUT, responder
from ._doctor_trial import CANARY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.sdk.trace import ReadableSpan

    from ..config import Settings
    from ._doctor_trial import Trial

_PATIENCE: Final = 5.0  # seconds
_SAID: Final = {"messages": [{"role": "user", "content": "say ok"}]}


@dataclass(frozen=True, slots=True)
class Probe:
    """One API: the path of its resource on the client, and the arguments of its `create`."""

    resource: str
    arguments: Mapping[str, Any]
    output: int | None = OUTPUT
    """Tokens that the answer tells."""
    streams: bool = True


@dataclass(frozen=True, slots=True)
class Client:
    """One client: its classes, where its API begins, its probes."""

    sync: str
    asynchronous: str
    base: str
    probes: tuple[Probe, ...]


_CHAT: Final = Probe("chat.completions", _SAID)
CLIENTS: Final = {
    "openai": Client(
        "OpenAI",
        "AsyncOpenAI",
        "/v1",
        (
            _CHAT,
            Probe("responses", {"input": "say ok"}),
            Probe("embeddings", {"input": "ok", "encoding_format": "float"}, output=None, streams=False),
            Probe("completions", {"prompt": "say ok"}, streams=False),
        ),
    ),
    "anthropic": Client("Anthropic", "AsyncAnthropic", "", (Probe("messages", {**_SAID, "max_tokens": 9}),)),
    "groq": Client("Groq", "AsyncGroq", "", (_CHAT,)),
}


def self_test(run: Trial, settings: Settings) -> Iterator[Finding]:
    """Make the calls, and compare what came out with what was answered."""
    names = [n for n, error in run.imports.items() if n in CLIENTS and error is None and n not in settings.disabled]
    if not names:
        yield Finding("note", "no client to call")
        return
    with responder() as url:
        for name in names:
            calls, wrong = 0, list[str]()
            for probe in CLIENTS[name].probes:
                for way in ("whole", "async", "stream") if probe.streams else ("whole", "async"):
                    fault = _probe(run, settings, (name, probe, way), url)
                    calls += fault is not None
                    wrong += [f"{probe.resource}, {way}: {fault}"] if fault else []
            told = "a span, a metric and a ledger line each"
            if not wrong:
                yield Finding("ok" if calls else "warning", f"{name}: {calls} calls of its APIs: {told}")
            for text in wrong:
                yield Finding(
                    "problem",
                    f"{name}: {text}",
                    f"see the patches above; `pip install -U {DISTRIBUTION}`, or a tested version of {name}.",
                )
    if CANARY in _everything(run):
        yield Finding("problem", "a key in the request came out unredacted", f"`pip install -U {DISTRIBUTION}`.")


def _probe(run: Trial, settings: Settings, what: tuple[str, Probe, str], url: str) -> str | None:
    """Make one call; what was wrong, "" for nothing, None where this version of the client has no such API."""
    name, probe, way = what
    client, module = CLIENTS[name], importlib.import_module(name)
    if not _has(getattr(module, client.sync), probe.resource):
        return None
    before = _counted(run, settings)
    run.spans.clear()
    target = url + client.base
    if way == "async":
        error = attempt(f"self_test.{name}", lambda: asyncio.run(_ask_async(module, client, probe, target)))
    else:
        stream = {"stream": True} if way == "stream" else {}
        error = attempt(f"self_test.{name}", lambda: _ask(module, client, probe, target, stream))
    if error is not None:
        return f"the client raised {error}"
    spans = [span for span in run.spans.get_finished_spans() if (span.attributes or {}).get(semconv.PROVIDER_NAME)]
    if len(spans) != 1:
        return f"{len(spans)} spans instead of one"
    return _wrong(run, spans[0], probe) or (
        "" if _counted(run, settings) == before + 1 else "no point of the duration metric"
    )


def _has(cls: Any, resource: str) -> bool:
    # `responses` came with openai 1.66.
    return hasattr(cls, resource.partition(".")[0]) or resource.partition(".")[0] in getattr(cls, "__annotations__", {})


def _ask(module: Any, client: Client, probe: Probe, url: str, stream: dict[str, Any]) -> None:
    # `trust_env`: a proxy of the environment is no way to loopback.
    with module.DefaultHttpxClient(trust_env=False) as http:
        made = getattr(module, client.sync)(api_key=CANARY, base_url=url, max_retries=0, timeout=5, http_client=http)
        answer = _resource(made, probe).create(model=MODEL, **probe.arguments, **stream)
        if stream:
            for _ in answer:
                pass


async def _ask_async(module: Any, client: Client, probe: Probe, url: str) -> None:
    async with module.DefaultAsyncHttpxClient(trust_env=False) as http:
        cls = getattr(module, client.asynchronous)
        made = cls(api_key=CANARY, base_url=url, max_retries=0, timeout=5, http_client=http)
        await _resource(made, probe).create(model=MODEL, **probe.arguments)


def _resource(client: Any, probe: Probe) -> Any:
    for step in probe.resource.split("."):
        client = getattr(client, step)
    return client


def _wrong(run: Trial, span: ReadableSpan, probe: Probe) -> str:
    attributes = span.attributes or {}
    tokens = attributes.get(semconv.USAGE_INPUT_TOKENS), attributes.get(semconv.USAGE_OUTPUT_TOKENS)
    if tokens != (INPUT, probe.output):
        return f"tokens {tokens[0]} in, {tokens[1]} out on the span; answered were {INPUT}, {probe.output}"
    context = span.get_span_context()
    span_id = f"{context.span_id:016x}" if context is not None else None
    lines = [line for line in _lines(run) if line["event"] == semconv.EVENT_SPAN_ENDED and line["span_id"] == span_id]
    return "" if len(lines) == 1 else f"{len(lines)} lines in the ledger instead of one"


def _lines(run: Trial) -> list[dict[str, Any]]:
    ledger.flush(_PATIENCE)
    return [json.loads(line) for line in run.ledger.read_bytes().splitlines()] if run.ledger.exists() else []


def _counted(run: Trial, settings: Settings) -> int:
    name = semconv.flavours(settings.semconv)[0].duration
    data: Any = run.metrics.get_metrics_data()
    points = [
        point
        for resource in (data.resource_metrics if data is not None else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]
    return sum(int(point.count) for point in points)


def _everything(run: Trial) -> str:
    spans = "".join(span.to_json() for span in run.spans.get_finished_spans())
    logs = "".join(item.to_json() for item in run.logs.get_finished_logs())
    data = run.metrics.get_metrics_data()
    return spans + logs + (data.to_json() if data is not None else "") + json.dumps(_lines(run))


def faults() -> Iterator[Finding]:
    """Faults of ours that were contained while doctor looked; its own attempts are told where they were made."""
    found = {site: count for site, count in contain.faults().items() if not site.startswith("doctor.")}
    for site, count in found.items():
        yield Finding(
            "problem",
            f"internal fault at {site}, {count} times: one fact of each call is missing",
            f"`pip install -U {DISTRIBUTION}`; if it stays, report it with this line.",
        )
    if not found:
        yield Finding("ok", "none")
