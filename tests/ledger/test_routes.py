# SPDX-License-Identifier: Apache-2.0
"""Routes: what each wants goes where it says, redacted; one that stalls or is dead is nobody else's trouble."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import route_peers
from otel_agent_instrumentation import emit_event
from otel_agent_instrumentation.ledger import routing
from otel_agent_instrumentation.ledger.filters import Filter
from otel_agent_instrumentation.pipeline import ways
from otel_agent_instrumentation.pipeline.accounts import snapshots
from otel_agent_instrumentation.pipeline.batch import Lane
from otel_agent_instrumentation.pipeline.queue import Limits
from otel_agent_instrumentation.pipeline.ways import CallTarget, FileTarget, WebSocketTarget, ZmqTarget
from otel_agent_instrumentation.testing.capture import capture
from receiver import Receiver
from route_peers import WebSocketPeer, ZmqPeer, until

if TYPE_CHECKING:
    from collections.abc import Generator

SECRET = "sk-" + "ant-api03-" + "a1B2c3D4" * 6
TOOLS = Path(__file__).parents[1] / "tools"


@contextmanager
def routed(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> Generator[None]:
    file = folder / "settings.toml"
    file.write_text(text)
    monkeypatch.setenv("OTEL_AGENT_CONFIG", str(file))
    route_peers.called.clear()
    route_peers.hold.clear()
    with capture():
        yield
        route_peers.hold.set()


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []


def names(lines: list[dict[str, Any]]) -> list[str]:
    return [line["event"] for line in lines if line["event"] != "resource"]


def books(name: str) -> Any:
    (found,) = [one for one in snapshots() if one.exporter == f"route {name}"]
    return found


def put(to: Lane[bytes], numbers: range) -> None:
    for number in numbers:
        line = b'{"event":"e","payload":{"n":%d}}\n' % number
        to.put(line, len(line))


def lane(target: Any, **limits: Any) -> Lane[bytes]:
    return Lane("ledger lines", target, Limits(delay=0.05, attempt=2.0)._replace(**limits))


def test_each_route_gets_what_it_wants_and_no_secret(monkeypatch, tmp_path):
    receiver, pull, server = Receiver(), ZmqPeer(), WebSocketPeer()
    text = f"""
[[routes]]
file = "{tmp_path}/new/plans.jsonl"
type = "plan.*"
[[routes]]
tcp = "127.0.0.1:{receiver.port}"
tag = ["persona_id=git*"]
[[routes]]
zmq = "tcp://127.0.0.1:{pull.port}"
severity = "error"
[[routes]]
websocket = "ws://127.0.0.1:{server.port}/in"
token = "made-up"
source = "reviewer"
[[routes]]
name = "mine"
call = "route_peers:take"
type = ["plan.*", "review.*"]
source = "planner,reviewer"
"""
    with routed(monkeypatch, tmp_path, text):
        emit_event("plan.generated", {"goal": f"use {SECRET}"}, persona_id="gitko")
        emit_event("review.decision", {"decision": "accept"}, persona_id="other")
        emit_event("executor.error", {"message": SECRET}, persona_id="gitko")
        plans = tmp_path / "new" / "plans.jsonl"
        until(lambda: len(route_peers.called) == 2 and len(pull.messages) == 1 and len(server.messages) == 1)
        until(lambda: len(names(lines_of(plans))) == 1 and len(names(receiver.lines())) == 2)
    told = [lines_of(plans), receiver.lines(), pull.lines(), server.lines(), list(route_peers.called)]
    for peer in (receiver, pull, server):
        peer.close()
    assert [names(lines) for lines in told] == [
        ["plan.generated"],
        ["plan.generated", "executor.error"],
        ["executor.error"],
        ["review.decision"],
        ["plan.generated", "review.decision"],
    ]
    assert SECRET not in json.dumps(told)
    assert told[0][-1]["payload"]["redacted_fields"] == ["payload.goal"]
    assert server.shown == ["Bearer made-up"]
    assert plans.stat().st_mode & 0o777 == 0o600


@pytest.mark.logs
@pytest.mark.faults
def test_a_stalled_and_a_dead_one_hold_up_neither_the_agent_nor_the_others(monkeypatch, tmp_path, caplog):
    stalled = socket.create_server(("127.0.0.1", 0))
    silent = WebSocketPeer(reads=False)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        dead = gone.getsockname()[1]
    text = f"""
[agent]
timeout = 1
exit_timeout = 0.5
[[routes]]
name = "stalled"
tcp = "127.0.0.1:{stalled.getsockname()[1]}"
queue_bytes = 2000000
[[routes]]
name = "silent"
websocket = "ws://127.0.0.1:{silent.port}"
queue_bytes = 2000000
[[routes]]
name = "dead"
websocket = "ws://127.0.0.1:{dead}"
queue_bytes = 2000000
[[routes]]
name = "nobody"
zmq = "tcp://127.0.0.1:{dead}"
queue_bytes = 2000000
[[routes]]
name = "hung"
call = "route_peers:hang"
queue_bytes = 2000000
[[routes]]
file = "{tmp_path}/all.jsonl"
type = "work.*"
"""
    count, hindered = 1000, ("stalled", "silent", "dead", "nobody", "hung")

    def troubled() -> bool:
        emit_event("more.done", {"text": "x" * 100_000})
        return all(books(name).trouble for name in hindered[:-1])

    with routed(monkeypatch, tmp_path, text):
        for number in range(count):
            emit_event("work.done", {"n": number, "text": "x" * 5000})
            if number % 100 == 0:
                time.sleep(0.01)  # an agent does something besides
        until(lambda: books("file 6").exported == count)
        until(lambda: all(books(name).dropped.get("queue_full", 0) for name in hindered))
        until(troubled)  # what the system takes for who reads nothing is full, too
        told = {name: books(name) for name in hindered}
        begin = time.monotonic()
    assert time.monotonic() - begin < 20
    assert [line["payload"]["n"] for line in lines_of(tmp_path / "all.jsonl")] == list(range(count))
    for name, one in told.items():
        assert one.emitted >= count, name
        assert one.queued_bytes <= 2_100_000, name
        said = [record for record in caplog.records if f"route {name} is full" in record.getMessage()]
        assert len(said) <= 1, name
    stalled.close()
    silent.close()
    # What was given up ends by itself, and says so.
    until(lambda: not any(thread.name == "otel-agent-ledger lines" for thread in threading.enumerate()))
    assert ways._open == []  # nor is a connection left behind


AGENT = """
import sys, time
import otel_agent_instrumentation as otel
with otel.run("coder"):
    for number in range(300):
        otel.emit_event("work.done", {"n": number, "text": "x" * 20000})
print(time.time(), flush=True)
"""


def test_at_exit_each_has_its_share_of_the_time(tmp_path):
    stalled = socket.create_server(("127.0.0.1", 0))
    silent = WebSocketPeer(reads=False)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        dead = gone.getsockname()[1]
    receiver = Receiver()
    (tmp_path / "otel-agent.toml").write_text(f"""
routes = [
  {{tcp = "127.0.0.1:{stalled.getsockname()[1]}"}},
  {{websocket = "ws://127.0.0.1:{silent.port}"}},
  {{websocket = "ws://127.0.0.1:{dead}"}},
  {{zmq = "tcp://127.0.0.1:{dead}"}},
  {{call = "route_peers:hang"}},
  {{tcp = "127.0.0.1:{receiver.port}"}},
  {{file = "all.jsonl"}},
]
""")
    (tmp_path / "agent.py").write_text(AGENT)
    launcher = Path(sys.executable).with_name("opentelemetry-instrument")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(TOOLS)}
    done = subprocess.run(
        [launcher, sys.executable, "agent.py"], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    after = time.time() - float(done.stdout)
    assert done.returncode == 0, done.stderr.decode()
    assert after < 10, done.stderr.decode()
    written = [line for file in (tmp_path / "logs" / "telemetry").glob("*.jsonl") for line in lines_of(file)]
    for got in (lines_of(tmp_path / "all.jsonl"), receiver.wait_for(len(written))):
        assert sum(line["event"] == "work.done" for line in got) == 300
        assert {line["seq"] for line in written} == {line["seq"] for line in got}
    # What did not arrive is told at the end.
    assert b"route tcp 1" in done.stderr
    assert b"route zmq 4" in done.stderr
    for peer in (stalled, silent, receiver):
        peer.close()


def test_a_websocket_server_that_comes_back_is_told_the_rest():
    server = WebSocketPeer()
    sender = lane(WebSocketTarget("route ws", f"ws://127.0.0.1:{server.port}"))
    put(sender, range(50))
    assert sender.flush(30)
    until(lambda: len(server.messages) == 50)
    server.close()
    until(lambda: _refused(server.port))
    again = WebSocketPeer(server.port)
    put(sender, range(50, 100))
    assert sender.flush(30)
    until(lambda: len(again.messages) >= 50)
    sender.shutdown(5)
    again.close()
    assert [line["payload"]["n"] for line in again.lines()][-50:] == list(range(50, 100))


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return True
    return False


@pytest.mark.logs
def test_a_line_that_a_server_finds_too_long_does_not_end_the_route():
    server = WebSocketPeer()
    sender = lane(WebSocketTarget("route long", f"ws://127.0.0.1:{server.port}"))
    put(sender, range(10))
    assert sender.flush(30)
    long = b'{"event":"long","payload":{"text":"%b"}}\n' % (b"x" * 2_000_000)
    sender.put(long, len(long))

    def arrived() -> bool:
        put(sender, range(10, 11))
        sender.flush(1)
        return any(line["payload"].get("n") == 10 for line in server.lines())

    until(arrived)
    sender.shutdown(5)
    server.close()
    assert not any(line["event"] == "long" for line in server.lines())


def test_a_receiver_of_zeromq_that_comes_late_is_told_all():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sender = lane(ZmqTarget("route zmq", f"tcp://127.0.0.1:{port}"), attempt=30.0)
    put(sender, range(500))
    import zmq

    context = zmq.Context()
    with context.socket(zmq.PULL) as pull:
        pull.bind(f"tcp://127.0.0.1:{port}")
        pull.setsockopt(zmq.RCVTIMEO, 30_000)
        got = [json.loads(pull.recv())["payload"]["n"] for _ in range(500)]
    assert got == list(range(500))
    assert sender.shutdown(30)
    context.term()


@pytest.mark.faults
@pytest.mark.logs
def test_an_event_for_which_a_function_raises_is_counted_and_the_next_is_told():
    route_peers.called.clear()
    sender = lane(CallTarget("route odd", "route_peers:fail_at_odd"), batch_items=1)
    put(sender, range(10))
    assert sender.flush(30)
    assert [event["payload"]["n"] for event in route_peers.called] == [0, 2, 4, 6, 8]
    told = sender.queue.accounts.snapshot()
    assert (told.exported, dict(told.dropped)) == (5, {"rejected": 5})
    sender.shutdown(5)


@pytest.mark.faults
@pytest.mark.logs
@pytest.mark.parametrize(
    "path", ["no_such_module:take", "route_peers:no_such", "route_peers:PATIENCE", "no_such_point"]
)
def test_a_function_that_is_not_there_is_said_once_and_what_it_would_get_counted(path, caplog):
    sender = lane(CallTarget("route none", path), batch_items=1)
    put(sender, range(3))
    sender.flush(30)
    assert dict(sender.queue.accounts.snapshot().dropped) == {"not_loaded": 3}
    assert sum("route none (not_loaded)" in record.getMessage() for record in caplog.records) == 1
    sender.shutdown(5)


@pytest.mark.logs
def test_a_file_is_healed_and_written_again_when_it_can_be(tmp_path):
    file = tmp_path / "out.jsonl"
    file.write_bytes(b'{"torn": ')
    sender = lane(FileTarget("route file", str(file)))
    put(sender, range(3))
    assert sender.flush(30)
    assert file.read_bytes().splitlines()[0] == b'{"torn": '
    assert len(file.read_bytes().splitlines()) == 4
    file.rename(tmp_path / "out.1.jsonl")
    file.mkdir()
    put(sender, range(3, 6))
    assert not sender.flush(1)
    file.rmdir()
    assert sender.flush(30)
    assert [line["payload"]["n"] for line in lines_of(file)] == [3, 4, 5]
    os.mkfifo(tmp_path / "pipe")
    assert FileTarget("route pipe", str(tmp_path / "pipe")).attempt([b"x\n"], 1).reason == "write_failed"
    sender.shutdown(5)


BAD = [
    ({}, "it needs one of `file`, `tcp`, `zmq`, `websocket`, `call`"),
    ({"file": "a", "tcp": "b:1"}, "it needs one of"),
    ({"tcp": "nowhere"}, "`tcp` is not what it must be"),
    ({"zmq": "nowhere"}, "`zmq` is not what it must be"),
    ({"websocket": "http://x"}, "`websocket` is not what it must be"),
    ({"call": "os system"}, "`call` is not what it must be"),
    ({"file": 5}, "`file` is not what it must be"),
    ({"file": "a", "tpye": "plan.*", "colour": 1}, "unknown key `tpye`; unknown key `colour`"),
    ({"file": "a", "severity": "loud"}, "`severity` must be one of"),
    ({"file": "a", "type": 5}, "`type` must be a string or a list of strings"),
    ({"file": "a", "type": []}, "`type` is empty"),
    ({"file": "a", "queue_bytes": "1 MB"}, "`queue_bytes` must be"),
    ({"file": "a", "queue_bytes": True}, "`queue_bytes` must be"),
    ({"file": "a", "token": "x"}, "`token` is for `websocket` alone"),
    ({"file": "a", "name": "\n"}, "`name` is not what it must be"),
    ("file", "it is no table"),
]


@pytest.mark.parametrize(("table", "said"), BAD)
def test_a_route_that_says_something_wrong_is_left_out_and_the_next_is_not(table, said):
    found = routing.read([table, {"file": "good", "type": "plan.*,review.*"}])
    assert found.routes == (routing.Route("file 2", "file", "good", Filter(type=("plan.*", "review.*"))),)
    (warning,) = found.warnings
    assert warning.startswith("route 1 of `[[routes]]` is left out: ")
    assert said in warning


def test_what_is_no_list_and_two_of_a_name_are_told():
    assert routing.read({"file": "x"}).warnings == ("`routes` must be a list of tables, `[[routes]]`; it is ignored",)
    found = routing.read([{"file": "a", "name": "x"}, {"file": "b", "name": "x"}])
    assert [route.to for route in found.routes] == ["a"]
    assert "the same `name`" in found.warnings[0]


@pytest.mark.logs
def test_a_bad_route_is_one_warning_at_start_up(monkeypatch, tmp_path, caplog):
    text = f'[[routes]]\nfile = "{tmp_path}/out.jsonl"\ntpye = "plan.*"\n'
    with routed(monkeypatch, tmp_path, text):
        emit_event("plan.generated", {})
    assert sum("unknown key `tpye`" in record.getMessage() for record in caplog.records) == 1
    assert not (tmp_path / "out.jsonl").exists()
