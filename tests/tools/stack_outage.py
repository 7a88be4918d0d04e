# SPDX-License-Identifier: Apache-2.0
"""A collector that is killed in the midst of a run and comes back, and the books of every span that ended."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from otel_agent_instrumentation.testing.otlp_grpc import GrpcSink
from otel_agent_instrumentation.testing.otlp_sink import OtlpSink
from otel_agent_instrumentation.testing.provider import Provider
from stack_parts import ROOT, Collector, ended, until

AGENT = ROOT / "tests" / "e2e" / "agents" / "paced.py"
LAUNCHER = [str(Path(sys.executable).parent / "opentelemetry-instrument"), sys.executable]


@dataclass(frozen=True)
class Books:
    """What became of the spans that the ledger says have ended. ``lost_before_kill``: ended, and were taken, before."""

    ended: int
    received: int
    dropped: int
    lost_before_kill: int
    lost_after_kill: int
    median_up: float
    median_down: float

    def __str__(self) -> str:
        return (
            f"{self.ended} spans ended = {self.received} received + {self.dropped} dropped and counted"
            f" + {self.lost_before_kill} acknowledged and in the collector's memory when it was killed"
            f" + {self.lost_after_kill} unexplained; median call {self.median_up * 1e3:.2f} ms while it was up,"
            f" {self.median_down * 1e3:.2f} ms while it was down ({self.median_down / self.median_up:.2f}x)"
        )


def outage(folder: Path, *, calls: int, pace: float, before: float, down: float) -> Books:
    """Kill the collector ``before`` seconds into ``calls`` paced calls, start it again ``down`` seconds later."""
    with GrpcSink() as jaeger, OtlpSink() as prometheus, Provider() as provider:
        collector = Collector(
            folder / "collector",
            "collector-gateway.yaml",
            JAEGER_OTLP=f"127.0.0.1:{jaeger.port}",
            PROMETHEUS_OTLP=prometheus.url,
            TRACES_KEEP_PERCENT=100,
            ROOT_GRACE="1s",
            LONGEST_RUN="10s",  # for those whose root the first process had
        )
        with ended(collector):
            collector.start()
            agent = subprocess.Popen(
                [*LAUNCHER, str(AGENT)],
                cwd=folder,
                env={key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
                | collector.for_agents
                | {
                    "PROVIDER": provider.url,
                    "CALLS": str(calls),
                    "PACE": str(pace),
                    "OTEL_SERVICE_NAME": "paced",
                    "OTEL_AGENT_LEDGER": "true",
                },
                stdout=subprocess.PIPE,
                text=True,
            )
            assert agent.stdout is not None
            try:
                assert agent.stdout.readline() == "begun\n"
                time.sleep(before)
                killed = time.time()
                collector.end(signal.SIGKILL)
                time.sleep(down)
                collector.start()
                again = time.time()
                out, _ = agent.communicate(timeout=calls * pace + 120)
            finally:
                agent.kill()
            spans = _ended(folder)
            received: set[str] = set()
            dropped = 0

            def settled() -> bool:
                nonlocal received, dropped
                received = {one.span_id for one in jaeger.spans()} & set(spans)
                dropped = _dropped(prometheus)
                missing = [end for span, end in spans.items() if span not in received]
                return len([end for end in missing if end > killed]) <= dropped

            # The gateway waits for a root, a second and a batch; LONGEST_RUN where the first process had the root.
            until(settled, "every span that ended after the kill is received or counted", 60)
    missing = [end for span, end in spans.items() if span not in received]
    early = len([end for end in missing if end <= killed])
    times = json.loads(out)
    up = [took for begun, took in times if begun < killed - 0.5 or begun > again + 5]
    off = [took for begun, took in times if killed < begun < again - 1]
    late = len(missing) - early
    return Books(
        len(spans),
        len(received),
        dropped,
        max(0, early - max(0, dropped - late)),
        max(0, late - dropped),
        statistics.median(up),
        statistics.median(off),
    )


def _ended(folder: Path) -> dict[str, float]:
    """The ids of the spans that ended, with when, by the ledger."""
    found: dict[str, float] = {}
    for file in folder.glob("logs/telemetry/*.jsonl"):
        for line in map(json.loads, file.read_text().splitlines()):
            if line["event"] == "span.ended":
                found[line["span_id"]] = int(line["payload"]["end_time_unix_nano"]) / 1e9
    return found


def _dropped(sink: OtlpSink) -> int:
    points = sink.metrics().get("agent.telemetry.dropped", [])
    return int(sum(one.value or 0 for one in points if one.attributes["agent.signal"] == "traces"))
