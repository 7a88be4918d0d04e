# SPDX-License-Identifier: Apache-2.0
"""Which neighbour this environment holds, and a way to run the agent beside it in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from otel_agent_instrumentation.testing.anthropic_bodies import CLAUDE_TOKENS
from otel_agent_instrumentation.testing.openai_bodies import TOKENS
from otel_agent_instrumentation.testing.otlp_sink import OtlpSink
from otel_agent_instrumentation.testing.provider import Provider, Received

HERE = Path(__file__).parent
USAGE = "gen_ai.client.token.usage"
EMBEDDING_TOKENS = 5
VARY = {"host", "traceparent"}
DISTRIBUTIONS = {
    "official": ("opentelemetry-instrumentation-genai-openai", "opentelemetry-instrumentation-genai-anthropic"),
    "openinference": ("openinference-instrumentation-openai", "openinference-instrumentation-anthropic"),
    "openllmetry": ("opentelemetry-instrumentation-openai", "opentelemetry-instrumentation-anthropic"),
    "logfire": ("logfire", "logfire"),
}


def _installed() -> str:
    for name, (distribution, _) in DISTRIBUTIONS.items():
        try:
            metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
        return name
    return ""


VENDOR = _installed()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the files of the other rows, which run in those; everything where there is no neighbour."""
    others = {f"test_{name}.py" for name in (*DISTRIBUTIONS, "neighbours" if not VENDOR else "") if name != VENDOR}
    left_out = [item for item in items if item.path.parent == HERE and item.path.name in others]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@dataclass(frozen=True)
class Phase:
    """What the calls of one phase came to. ``requests``: what the provider received."""

    results: dict[str, Any]
    spans: dict[str, list[tuple[str, str, bool]]]
    tokens: dict[str, dict[str, float]]
    requests: list[Received]

    def owners(self) -> dict[str, list[str]]:
        """The scopes of each call's spans that say what tokens it used."""
        return {call: [scope for scope, _, owns in spans if owns] for call, spans in self.spans.items()}

    def wire(self) -> list[tuple[Any, ...]]:
        """What reached the provider: method, target, headers in their order, body.

        Without the trace context of anthropic's own span, which ours replaces without sending its own.
        """
        return [
            (it.method, it.target, [pair for pair in it.headers if pair[0].lower() not in VARY], it.body)
            for it in self.requests
        ]

    def served(self) -> dict[str, float]:
        """The tokens that the provider served."""
        sums = {"input": 0.0, "output": 0.0}
        for request in self.requests:
            if request.path.endswith("/embeddings"):
                sums["input"] += EMBEDDING_TOKENS
            else:
                tokens = CLAUDE_TOKENS if request.path.endswith("/messages") else TOKENS
                sums["input"] += tokens.input
                sums["output"] += tokens.output
        return sums


@dataclass(frozen=True)
class Ran:
    """What a run of the agent came to."""

    phases: dict[str, Phase]
    changed: dict[str, list[str]]
    reports: dict[str, list[tuple[str, str, str]]]
    stderr: str

    def warnings(self) -> list[str]:
        return [line for line in self.stderr.splitlines() if "OTEL_AGENT_DISABLED" in line]


class Runner:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vendor = VENDOR

    def __call__(self, *steps: str, calls: list[str] | None = None, **env: str) -> Ran:
        """Run the agent through ``steps`` with providers in memory, told by code who instruments."""
        with Provider() as provider:
            return self._run([], provider, env, steps=steps, calls=calls, launched=False)

    def launched(self, **env: str) -> tuple[Ran, Phase]:
        """Run the agent under `opentelemetry-instrument`, exporting to a backend."""
        launcher = [str(Path(sys.executable).parent / "opentelemetry-instrument")]
        # Logfire has no entry point: the agent's code calls it, and so makes providers of its own, to the same backend.
        steps = ("theirs", "calls:all", "look:all") if self.vendor == "logfire" else ("calls:all", "look:all")
        with OtlpSink() as sink, Provider() as provider:
            env = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", **env}
            ran = self._run(launcher, provider, env, steps=steps, calls=None, launched=True)
        spans, tokens = _exported(sink)
        return ran, replace(ran.phases["all"], spans={"exported": spans}, tokens=tokens)

    def _run(self, launcher: list[str], provider: Provider, env: dict[str, str], **plan: Any) -> Ran:
        out = self.folder / "found.json"
        plan |= {"url": provider.url, "vendor": self.vendor, "out": str(out)}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PYTHON"))}
        ended = subprocess.run(
            [*launcher, sys.executable, str(HERE / "agent.py"), json.dumps(plan)],
            env={**inherited, **env},
            cwd=self.folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert ended.returncode == 0, ended.stderr
        assert "internal fault" not in ended.stderr
        assert ended.stdout == ""
        found = json.loads(out.read_text())
        # The last ones: before them came those that warmed the clients up.
        size = len(provider.requests) // (len(found["phases"]) + (not plan["launched"])) if not plan["calls"] else 0
        last = provider.requests[-size * len(found["phases"]) :]
        phases = {
            name: Phase(**phase, requests=last[size * at : size * (at + 1)])
            for at, (name, phase) in enumerate(found.pop("phases").items())
        }
        return Ran(phases, **found, stderr=ended.stderr)


def _exported(sink: OtlpSink) -> tuple[list[tuple[str, str, bool]], dict[str, dict[str, float]]]:
    """All spans, whose calls are not known here, and the last word of the token metric."""
    spans = [
        (it.scope.name, it.name, any(("usage" in key or "token_count" in key) for key in it.attributes))
        for it in sink.spans()
    ]
    last = {(it.scope.name, tuple(sorted(it.attributes.items()))): it for it in sink.points(USAGE)}
    tokens: dict[str, dict[str, float]] = {}
    for (scope, _), point in last.items():
        kinds = tokens.setdefault(scope, {})
        kind = str(point.attributes["gen_ai.token.type"])
        kinds[kind] = kinds.get(kind, 0) + (point.sum or 0)
    return spans, tokens


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture(scope="session")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Phase]:
    """The calls as nobody instruments them, and as the neighbour alone tells them."""
    return Runner(tmp_path_factory.mktemp("before"))("calls:nobody", "theirs", "calls:theirs").phases
