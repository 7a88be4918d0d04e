# SPDX-License-Identifier: Apache-2.0
"""Every way out of a process, in real processes against a real OTLP backend."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_instrumentation.pipeline.exit import ExitCoordinator
from otel_agent_instrumentation.testing.otlp_grpc import GrpcSink
from otel_agent_instrumentation.testing.otlp_sink import Fault, OtlpSink

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SOURCE = HERE.parent.parent / "src"
# The budget is 2 s; the rest is for a machine that does other things, too.
MOST_SECONDS = 3.0


@dataclass(frozen=True)
class Ended:
    code: int
    facts: dict[str, Any]
    stderr: str
    books: list[dict[str, Any]]
    exit_seconds: float

    def book(self, signal: str) -> dict[str, Any]:
        """The books of ``signal`` in the first process that reported."""
        return next(book for book in self.books[0]["books"] if book["signal"] == signal)


class Launcher:
    def __init__(self, folder: Path) -> None:
        self.report = folder / "books.jsonl"

    def start(self, way: str, endpoint: str, **env: str) -> subprocess.Popen[str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PYTHON"))}
        return subprocess.Popen(
            [sys.executable, "-W", "error::ResourceWarning", str(HERE / "launch/agent.py"), way],
            env={
                **inherited,
                "PYTHONPATH": os.pathsep.join([str(HERE / "launch"), str(SOURCE)]),
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
                "WIRE_REPORT": str(self.report),
                **env,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, way: str, endpoint: str, send: signal.Signals | None = None, **env: str) -> Ended:
        process = self.start(way, endpoint, **env)
        assert process.stdout is not None
        began = time.monotonic()
        lines: list[str] = []
        if send is not None:
            lines.append(process.stdout.readline())
            began = time.monotonic()
            process.send_signal(send)
        try:
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
        seconds = time.monotonic() - began
        facts: dict[str, Any] = {}
        for line in [*lines, *out.splitlines()]:
            facts.update(json.loads(line))
        assert "Exception ignored" not in err
        books = [json.loads(line) for line in self.report.read_text().splitlines()] if self.report.exists() else []
        return Ended(process.returncode, facts, err, books, seconds)


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path)


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as sink:
        yield sink


def names(sink: OtlpSink | GrpcSink) -> list[str]:
    return sorted(span.name for span in sink.spans())


def all_arrived(sink: OtlpSink | GrpcSink, expected: dict[str, int]) -> None:
    """Spans, log records and metric of each name in ``expected`` arrived: as many, each once."""
    spans = Counter(span.name.rpartition("-")[0] for span in sink.spans())
    logs = Counter(str(log.body).rpartition("-")[0] for log in sink.logs("emitted"))
    assert spans == expected
    assert logs == expected
    # A forked child inherits the SDK's sums and exports them as well: of each emitting process the last value counts.
    sums = {point.attributes["pid"]: point.value or 0 for point in sink.points("emitted")}
    assert sum(sums.values()) == sum(expected.values())


def balanced(ended: Ended) -> None:
    assert ended.books
    for process in ended.books:
        for book in process["books"]:
            assert book["queued"] == 0
            assert book["emitted"] == book["exported"] + sum(book["dropped"].values()) + book["unknown"]


@pytest.mark.parametrize(("way", "code"), [("normal", 0), ("sysexit", 5), ("exception", 1)])
def test_a_process_that_ends_by_itself_delivers_everything(launcher, sink, way, code):
    ended = launcher.run(way, sink.url)
    assert ended.code == code
    all_arrived(sink, {"main": 3})
    balanced(ended)
    assert ended.book("spans")["exported"] == 3


@pytest.mark.parametrize(
    ("way", "send", "code", "facts"),
    [
        ("wait", signal.SIGINT, -signal.SIGINT, {}),
        ("wait", signal.SIGTERM, -signal.SIGTERM, {}),
        ("own-handler", signal.SIGTERM, 7, {"handler": "own"}),
        ("chaining-handler", signal.SIGTERM, 8, {"handler": "chained"}),
        ("graceful", signal.SIGTERM, -signal.SIGTERM, {"handler": "graceful"}),
    ],
)
def test_a_process_that_is_ended_by_a_signal_delivers_everything(  # noqa: PLR0917 - a table's columns
    launcher, sink, way, send, code, facts
):
    ended = launcher.run(way, sink.url, send)
    assert ended.code == code
    assert ended.facts == {"ready": True, **facts}
    assert ended.exit_seconds < MOST_SECONDS
    all_arrived(sink, {"main": 3})
    balanced(ended)


def test_a_signal_during_the_exit_waits_for_what_is_under_way(launcher, sink):
    ended = launcher.run("ending", sink.url)
    assert ended.code == -signal.SIGTERM
    all_arrived(sink, {"main": 3})
    balanced(ended)


def test_a_signal_that_the_agent_ignores_stays_ignored(launcher, sink):
    assert launcher.run("ignored", sink.url, WIRE_SIGTERM="0").facts == {"kept": True}


def test_without_our_handler_sigterm_is_the_default(launcher, sink):
    ended = launcher.run("wait", sink.url, signal.SIGTERM, WIRE_SIGTERM="0")
    assert ended.code == -signal.SIGTERM
    assert not sink.spans()


@pytest.mark.parametrize("way", ["mp-fork", "mp-used", "mp-spawn", "mp-forkserver"])
def test_children_of_multiprocessing_deliver_everything_once(launcher, sink, way):
    ended = launcher.run(way, sink.url)
    assert ended.facts == {"codes": [0, 0, 0]}
    all_arrived(sink, {"main": 3, "child0": 2, "child1": 2, "child2": 2})
    balanced(ended)


@pytest.mark.parametrize("way", ["pool-fork", "pool-spawn", "old-pool"])
def test_pools_deliver_everything_once(launcher, sink, way):
    ended = launcher.run(way, sink.url)
    assert ended.code == 0
    all_arrived(sink, {"main": 3, **{f"child{number}": 2 for number in range(6)}})
    balanced(ended)


def test_a_child_that_its_parent_terminates_delivers_and_dies_of_it(launcher, sink):
    ended = launcher.run("terminated-child", sink.url)
    assert ended.facts["codes"] == [-signal.SIGTERM]
    all_arrived(sink, {"main": 3})


@pytest.mark.parametrize("way", ["fork-exit", "fork-flush"])
def test_a_forked_process_delivers_its_own_and_nothing_of_its_parent(launcher, sink, way):
    ended = launcher.run(way, sink.url, WIRE_METRICS="0")
    assert ended.code == 0
    assert names(sink) == ["child-0", "child-1", "main-0", "main-1", "main-2"]


def test_a_fork_while_every_lock_is_held_leaves_a_child_that_works(launcher, sink):
    ended = launcher.run("locks", sink.url)
    assert ended.facts == {"status": 0}
    all_arrived(sink, {"main": 1, "child": 2})


def test_what_is_emitted_at_the_very_end_arrives(launcher, sink):
    ended = launcher.run("late", sink.url, WIRE_METRICS="0")
    assert names(sink) == ["late-0", "late-1"]
    balanced(ended)


@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="3.12 starts no thread at exit: calls keep their own time")
def test_a_call_that_hangs_is_abandoned(launcher, sink):
    ended = launcher.run("hang", sink.url)
    assert ended.exit_seconds < MOST_SECONDS + 1
    all_arrived(sink, {"main": 3})


def refused(sink: OtlpSink) -> str:
    sink.refuse()
    return sink.url


def failing(**fault: Any) -> Any:
    def arrange(sink: OtlpSink) -> str:
        sink.fail(Fault(**fault))
        return sink.url

    return arrange


DEAD = {
    "refused": refused,
    "dns": lambda sink: "http://collector.invalid:4318",
    "blackhole": failing(blackhole=True),
    "503": failing(status=503),
    "429": failing(status=429, retry_after=30),
    "reset": failing(reset=True),
    "drip": failing(drip=0.5),
    "tls": lambda sink: sink.url.replace("http:", "https:"),
}


@pytest.mark.parametrize("way", ["normal", "wait"])
@pytest.mark.parametrize("fault", DEAD)
def test_a_dead_collector_adds_two_seconds_to_the_exit_at_most(launcher, sink, fault, way):
    baseline = time.monotonic()
    launcher.run("normal", sink.url, WIRE_REPORT="")
    baseline = time.monotonic() - baseline
    sink.clear()
    ended = launcher.run(way, DEAD[fault](sink), signal.SIGTERM if way == "wait" else None)
    assert ended.code == (-signal.SIGTERM if way == "wait" else 0)
    assert ended.exit_seconds - (baseline if way == "normal" else 0) < MOST_SECONDS
    balanced(ended)
    spans = ended.book("spans")
    assert spans["emitted"] == ended.book("log records")["emitted"] == 3
    assert spans["exported"] == 0
    assert "Traceback" not in ended.stderr
    if fault in {"blackhole", "drip"}:
        assert spans["unknown"] == 3
    else:
        assert spans["dropped"] == {"exit": 3}


def test_two_thousand_spans_and_a_blackhole_are_no_slower(launcher, sink):
    sink.fail(Fault(blackhole=True))
    ended = launcher.run("flood", sink.url, WIRE_DELAY="0.2")
    assert ended.exit_seconds < MOST_SECONDS + 4
    balanced(ended)
    spans = ended.book("spans")
    assert spans["emitted"] == 5000
    assert spans["unknown"] + spans["dropped"]["exit"] + spans["dropped"]["queue_full"] == 5000


def test_an_address_that_no_host_has_is_left_in_time(launcher):
    # A listening socket whose backlog is full: connecting to it hangs.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        ended = launcher.run("wait", f"http://127.0.0.1:{full.getsockname()[1]}", signal.SIGTERM)
        for filler in fillers:
            filler.close()
    assert ended.code == -signal.SIGTERM
    assert ended.exit_seconds < MOST_SECONDS
    balanced(ended)


@pytest.mark.parametrize("way", ["normal", "mp-spawn", "mp-fork", "flood"])
def test_grpc_delivers_everything(launcher, way):
    with GrpcSink() as sink:
        ended = launcher.run(way, sink.url, WIRE_PROTOCOL="grpc", WIRE_DELAY="0.1")
        assert ended.code == 0
        balanced(ended)
        books = [book for process in ended.books for book in process["books"] if book["signal"] == "spans"]
        exported = sum(book["exported"] for book in books)
        assert len(sink.spans()) == exported


@pytest.mark.parametrize("dead", ["refused", "blackhole"])
def test_a_dead_grpc_collector_adds_two_seconds_at_most(launcher, dead):
    with GrpcSink() as sink:
        sink.fail(Fault(blackhole=True))
        endpoint = sink.url if dead == "blackhole" else "http://127.0.0.1:9"
        ended = launcher.run("wait", endpoint, signal.SIGTERM, WIRE_PROTOCOL="grpc")
    assert ended.code == -signal.SIGTERM
    assert ended.exit_seconds < MOST_SECONDS
    balanced(ended)
    assert ended.book("spans")["exported"] == 0


def test_stages_run_in_their_order_and_once():
    order: list[str] = []
    coordinator = ExitCoordinator(budget=1.0)
    coordinator.register_call("c", lambda left: order.append("last"), stage="last")
    coordinator.register_call("b", lambda left: order.append("flush"))
    coordinator.register_call("a", lambda left: order.append("first"), stage="first")
    coordinator.run()
    coordinator.run()
    assert order == ["first", "flush", "last"]


def test_disarm_takes_the_handler_back():
    coordinator = ExitCoordinator()
    before = signal.getsignal(signal.SIGTERM)
    coordinator.arm()
    assert signal.getsignal(signal.SIGTERM) is not before
    coordinator.disarm()
    assert signal.getsignal(signal.SIGTERM) is before
