# SPDX-License-Identifier: Apache-2.0
"""Truth: the performance monitor's tokens are the bodies' (P5), over all recorded traffic, and begin at 0 again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_agent_instrumentation.monitors.performance import PerformanceMonitor
from otel_agent_instrumentation.testing import traffic
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.truth import truth
from recorded import Stage, Sums

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = [pytest.mark.matrix, pytest.mark.shared]


def played(stage: Stage, way: str, providers: Iterable[str]) -> tuple[Sums, int]:
    """Drive all exchanges; the bodies' sums, and how many requests there were."""
    sums, requests = Sums(), 0
    for name in providers:
        for exchange in traffic.load(name):
            if exchange.kind is not None and stage.play(exchange, way).kind != "refused":
                sums.add(truth(exchange))
                requests += 1
    return sums, requests


def test_the_tokens_are_the_providers():
    monitor = PerformanceMonitor(lambda _: None)
    try:
        with capture(), Stage() as stage:
            monitor.init()
            for way, providers in (("create", traffic.PROVIDERS), ("create_async", ("anthropic", "groq"))):
                sums, requests = played(stage, way, providers)
                told = monitor.get_llm_stats()
                assert told["tokens"] == {kind: sums.tokens.get(kind, 0) for kind in told["tokens"]}
                assert sum(one["tokens"]["input"] for one in told["models"].values()) == sums.tokens["input"] > 0
                assert told["requests"] == told["seconds"]["count"] == requests
                assert requests > (350 if way == "create" else 10)
                monitor.reset()
                assert monitor.get_llm_stats()["tokens"]["input"] == monitor.get_llm_stats()["requests"] == 0
    finally:
        monitor.destroy()
