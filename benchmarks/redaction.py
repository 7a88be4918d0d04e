# SPDX-License-Identifier: Apache-2.0
"""The cost of redaction: clean texts, texts never seen before, adversarial ones, a history sent again, the guard.

Both engines take turns over the same texts. CPU time of the thread; what is printed is the median of the rounds, and
for texts never seen before the median and the 99th percentile over all of them.
"""

from __future__ import annotations

import base64
import gc
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sysconfig
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from otel_agent_instrumentation.config import Settings
from otel_agent_instrumentation.redaction.policy import Policy
from otel_agent_instrumentation.redaction.processors import SpanGuard

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 7
FRESH = 1500
ENGINES = {"re2": "auto", "re": "re"}
_random = random.Random(11)  # noqa: S311 - no secret is made of it
_PROSE = (
    "the agent reads its file and then writes a plan for every step of this task while tools return values that "
    "people check before the model answers with code or prose about what was found in the search results"
)
_WORDS = _PROSE.split()
_UNITS = (
    "sk-1", "eyJaaaaaaaaa.", "://a:b@", "-----BEGIN PRIVATE KEY-----", "Bearer 1a", '"password":"', '\\"token\\":',
    "://a:b@c.de/?key=d ", "?key=a&", "password=Ab1!xyz9 ", "a@b.co ",
    "a@b.c ", "4111 1111 ", "DE89 3704 ", "+49 30 ", "password=", "&key=", "QUtJQ", "Q~", "a" * 50, "\\", "[{",
)  # fmt: skip


def _prose(size: int) -> str:
    return " ".join(_random.choice(_WORDS) for _ in range(size))[:size]


def _json(size: int) -> str:
    kinds: tuple[Callable[[], object], ...] = (
        lambda: str(uuid.UUID(int=_random.getrandbits(128))),
        lambda: f"{_random.getrandbits(128):032x}",
        _random.random,
        lambda: _random.randrange(10**13),
        lambda: _prose(24),
    )
    found: dict[str, object] = {}
    length = 2
    while length < size:
        name = f"{_random.choice(_WORDS)}_{len(found)}"
        found[name] = _random.choice(kinds)()
        length += len(json.dumps(found[name])) + len(name) + 6
    return json.dumps(found)


def _base64(size: int) -> str:
    return base64.b64encode(_random.randbytes(size)).decode()[:size]


def _cjk(size: int) -> str:
    return "".join(chr(_random.randrange(0x4E00, 0x9FA5)) for _ in range(size // 3))


def _source() -> str:
    folder = Path(sysconfig.get_paths()["stdlib"])
    return "".join(path.read_text(encoding="utf-8", errors="replace") for path in sorted(folder.glob("[a-h]*.py")))


def _code(size: int, source: list[str] = []) -> str:  # noqa: B006 - read once
    if not source:
        source.append(_source())
    at = _random.randrange(len(source[0]) - size)
    return source[0][at : at + size]


def _seconds(policy: Policy, text: str, *, whole: bool = False) -> float:
    """What one look at ``text`` costs; ``whole``: with its replacement, until nothing is left to replace."""
    begin = time.thread_time()
    if whole:
        policy.text(text)
    else:
        policy.hits(text)
    return time.thread_time() - begin


def _policies() -> dict[str, Policy]:
    policies = {name: Policy(settings=Settings(redaction_engine=engine)) for name, engine in ENGINES.items()}  # type: ignore[arg-type]
    for name, policy in policies.items():
        begin = time.perf_counter()
        policy.hits("the first text")
        first = time.perf_counter()
        policy.engine()
        print(f"  {name:4} the rules, at the first text: {(first - begin) * 1e3:.1f} ms; ", end="")
        print(f"the engine, after a hundred: {(time.perf_counter() - first) * 1e3:.1f} ms")
    return policies


def _clean(policies: dict[str, Policy]) -> None:
    print("\nclean text, scanned again and again")
    for size in (2048, 51_200):
        for kind in (_prose, _json):
            text = kind(size)
            costs: dict[str, list[float]] = {name: [] for name in policies}
            for _ in range(ROUNDS * 20):
                for name, policy in policies.items():
                    costs[name].append(_seconds(policy, text))
            told = "   ".join(f"{name} {statistics.median(found) * 1e6:7.1f} us" for name, found in costs.items())
            print(f"  {size // 1024:3} KB {kind.__name__[1:]:7} {told}")


def _fresh(policies: dict[str, Policy]) -> None:
    print(f"\ntext never seen before, 2 KB ({FRESH} of each): median / 99th percentile")
    for kind in (_prose, _json, _base64, _code, _cjk):
        costs: dict[str, list[float]] = {name: [] for name in policies}
        for _ in range(FRESH):
            text = kind(2048)
            for name, policy in policies.items():
                costs[name].append(_seconds(policy, text))
        told = "   ".join(
            f"{name} {statistics.median(found) * 1e6:7.1f} / {sorted(found)[FRESH * 99 // 100] * 1e6:7.1f} us"
            for name, found in costs.items()
        )
        print(f"  {kind.__name__[1:]:7} {told}")


def _adversarial(policies: dict[str, Policy]) -> None:
    print("\nadversarial 50 KB: the worst of all")
    for name, policy in policies.items():
        # Else one of these takes a collection of all that the benchmarks have imported, which is many times its own.
        gc.collect()
        costs = {unit: _seconds(policy, (unit * 51_200)[:51_200], whole=True) for unit in _UNITS}
        costs["all"] = _seconds(policy, ("".join(_UNITS) * 400)[:51_200], whole=True)
        worst = max(costs, key=lambda unit: costs[unit])
        print(f"  {name:4} {costs[worst] * 1e3:6.1f} ms   {worst[:24]!r}")


def _history(policies: dict[str, Policy]) -> None:
    print("\na conversation of 40 turns, each call sends all before it (2 KB a message)")
    turns = [_prose(2048) for _ in range(40)]
    for name in policies:
        policy = Policy(settings=Settings(redaction_engine=ENGINES[name]))  # type: ignore[arg-type]
        policy.engine()
        begin = time.thread_time()
        for turn in range(1, 41):
            policy.payload([{"role": "user", "content": text} for text in turns[:turn]])
        print(f"  {name:4} {(time.thread_time() - begin) * 1e3:6.2f} ms for 820 messages")


class _Nowhere(SpanExporter):
    def export(self, spans: object) -> SpanExportResult:  # noqa: ARG002 - its signature
        return SpanExportResult.SUCCESS


def _guard() -> None:
    print("\nthe guard on a span with 20 small attributes")
    attributes = {f"some.attribute.{number}": f"value {number}" if number % 2 else number for number in range(20)}
    kinds = {"without": TracerProvider(), "with": TracerProvider(active_span_processor=SpanGuard())}
    costs: dict[str, list[float]] = {name: [] for name in kinds}
    for provider in kinds.values():
        provider.add_span_processor(SimpleSpanProcessor(_Nowhere()))
    for _ in range(ROUNDS * 3):
        for name, provider in kinds.items():
            tracer = provider.get_tracer("bench")
            begin = time.thread_time()
            for _ in range(200):
                tracer.start_span("span", attributes=attributes).end()
            costs[name].append((time.thread_time() - begin) / 200)
    added = statistics.median(a - b for a, b in zip(costs["with"], costs["without"], strict=True))
    print(f"  adds {added * 1e6:5.1f} us")


def main() -> None:
    """Print all figures."""
    own = ROOT / ".venv" / "bin" / "python"
    if importlib.util.find_spec("re2") is None and own.exists():
        # `make bench` runs in the official package's environment, which has no google-re2.
        subprocess.run([own, "-m", "benchmarks", "redaction"], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        return
    print("\nredaction")
    policies = _policies()
    if policies["re2"].engine() != "re2":
        print("  google-re2 is not installed here: what stands under re2 is re")
    _clean(policies)
    _fresh(policies)
    _adversarial(policies)
    _history(policies)
    _guard()


if __name__ == "__main__":
    main()
