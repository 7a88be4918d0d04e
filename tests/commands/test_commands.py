# SPDX-License-Identifier: Apache-2.0
"""Commands of an active run: what the caller sees is what it would see without us, and each is told once."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import inspect
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import commands_played as plays
from otel_agent_instrumentation import flush, run, semconv, suppress
from otel_agent_instrumentation.bootstrap import install
from otel_agent_instrumentation.core import commands as core_commands
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import Provider

# The interpreter's own word on a process object that is dropped while its process runs.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
COMMAND = "execute_tool command "


def commands(captured: Any) -> list[Any]:
    gc.collect()
    install.close_open()
    return [span for span in captured.spans(roots=True) if span.name.startswith(COMMAND)]


def roots(captured: Any) -> list[Any]:
    return [span for span in captured.spans(roots=True) if span.name.startswith("invoke_agent")]


def command(captured: Any) -> dict[str, Any]:
    (span,) = commands(captured)
    return dict(span.attributes)


def events(captured: Any, name: str = "executor.") -> list[Any]:
    return [line for line in captured.lines() if line.event.startswith(name)]


@pytest.mark.parametrize("play", [*plays.SYNC, *plays.LATER], ids=str)
def test_the_caller_sees_the_same_and_it_is_one_span(play, tmp_path):
    plain = plays.told(play)
    with capture(only=["commands"]) as captured:
        with run("coder") as active:
            run_id = active.id
            assert plays.told(play) == plain
            gc.collect()
        (span,) = commands(captured)
        told = dict(span.attributes)
        assert told[semconv.RUN_ID] == run_id
        assert told.get(semconv.ERROR_TYPE) == play.error
        assert span.status.status_code is (StatusCode.UNSET if play.error is None else StatusCode.ERROR)
        assert told.get(semconv.PROCESS_EXIT_CODE) == play.code
        assert told.get(semconv.COMMAND_STDOUT_SIZE) == play.size
        lines = [line.event for line in events(captured)]
        ended = play.code is not None or play.error is None
        assert lines.count(semconv.EVENT_COMMAND_COMPLETED) == ended
        raised = play.error is not None and play.error != "CalledProcessError"
        assert lines.count(semconv.EVENT_EXECUTOR_ERROR) == raised
    assert core_commands.live == {}


def test_what_a_span_says(captured):
    with run("coder"):
        subprocess.run(["/bin/echo", "--password", "canary-1", "x"], capture_output=True, check=True)
    told = command(captured)
    digest = "sha256:" + hashlib.sha256(b"--password canary-1 x\n").hexdigest()
    empty = f"sha256:{hashlib.sha256(b'').hexdigest()}"
    assert {key: value for key, value in told.items() if not key.startswith(("agent.run", "gen_ai.agent"))} == {
        semconv.OPERATION_NAME: "execute_tool",
        semconv.TOOL_NAME: "command",
        semconv.TOOL_TYPE: "command",
        semconv.PROCESS_EXECUTABLE_NAME: "echo",
        semconv.PROCESS_EXECUTABLE_PATH: "/bin/echo",
        semconv.PROCESS_COMMAND_ARGS: ("echo", "--password", "REDACTED", "x"),
        semconv.PROCESS_PID: told[semconv.PROCESS_PID],
        semconv.PROCESS_EXIT_CODE: 0,
        semconv.COMMAND_OUTCOME: "exited",
        semconv.COMMAND_STDOUT_SIZE: 22,
        semconv.COMMAND_STDOUT_DIGEST: digest,
        semconv.COMMAND_STDERR_SIZE: 0,
        semconv.COMMAND_STDERR_DIGEST: empty,
    }
    started, completed = events(captured)
    assert started.payload["command"] == "echo"
    assert started.payload["arguments"] == ["--password", "REDACTED", "x"]
    assert started.payload["redacted_fields"] == ["payload.arguments[1]"]
    assert completed.payload["exit_code"] == 0
    assert (completed.payload["stdout_digest"], completed.payload["stderr_digest"]) == (digest, empty)
    assert {started.source, completed.source} == {"executor"}
    assert "canary-1" not in Path(next(Path("logs/telemetry").iterdir())).read_text()
    (point,) = captured.points(semconv.EXECUTE_TOOL_DURATION)
    assert dict(point.attributes)[semconv.TOOL_NAME] == "command"


def test_output_beyond_the_limit_has_a_size_and_no_digest(captured):
    with run("coder"):
        plays.run_big()
    told = command(captured)
    assert told[semconv.COMMAND_STDOUT_SIZE] == plays.BIG
    assert semconv.COMMAND_STDOUT_DIGEST not in told
    assert semconv.COMMAND_STDERR_DIGEST in told


def test_the_message_of_an_error_quotes_no_argument(captured):
    with run("coder"):
        for play in (plays.run_timeout, plays.not_found, plays.not_allowed):
            with pytest.raises((OSError, subprocess.TimeoutExpired)):
                play()
    found = [line.payload for line in events(captured, semconv.EVENT_EXECUTOR_ERROR)]
    assert [payload["exception"] for payload in found] == ["TimeoutExpired", "FileNotFoundError", "PermissionError"]
    assert [payload["message"] for payload in found] == [
        "timed out after 0.1 seconds",
        "No such file or directory",
        "Permission denied",
    ]
    assert all(payload["handled"] is False for payload in found)


# --- never learnt ----------------------------------------------------------------------------------------------------


def test_a_dropped_command_ends_when_it_is_collected(captured):
    with run("coder"):
        process = subprocess.Popen(["true"])
        _until_dead(process)
        del process
        gc.collect()
        told = command(captured)
        assert told[semconv.COMMAND_OUTCOME] == "unknown"
        assert semconv.PROCESS_EXIT_CODE not in told
    assert captured.points(semconv.EXECUTE_TOOL_DURATION) == []


def _until_dead(process: Any) -> None:
    # Without reaping it: that would be the caller's learning.
    while Path(f"/proc/{process.pid}/stat").read_text().split()[2] != "Z":
        time.sleep(0.01)


def test_an_open_command_ends_with_its_run(captured):
    with run("coder"):
        process = subprocess.Popen(["sleep", "20"])
    spans: list[Any] = captured.spans()
    assert [span.name for span in spans] == [f"{COMMAND}sleep", "invoke_agent coder"]
    assert spans[0].attributes[semconv.COMMAND_OUTCOME] == "unknown"
    assert spans[0].status.status_code is StatusCode.UNSET
    assert spans[0].end_time <= spans[1].end_time
    process.kill()
    assert process.wait() == -9
    assert len(captured.spans()) == 2


def test_an_open_command_ends_at_exit(tmp_path):
    script = """
import subprocess, threading
import otel_agent_instrumentation as ours
ours.instrument()
entered = threading.Event()
def work():
    with ours.run("coder"):
        global kept
        kept = subprocess.Popen(["sleep", "20"])
        entered.set()
        threading.Event().wait()
threading.Thread(target=work, daemon=True).start()
entered.wait()
print(kept.pid)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    subprocess.run(["kill", done.stdout.strip()], check=True)
    text = "".join(file.read_text() for file in Path("logs/telemetry").iterdir())
    assert text.count('"agent.command.outcome":"unknown"') == 1
    assert "Traceback" not in done.stderr


def test_a_process_that_only_the_loop_saw_end_has_its_code(captured):
    async def play() -> None:
        await asyncio.create_subprocess_exec("sh", "-c", "exit 3")
        await asyncio.sleep(0.3)

    with run("coder"):
        asyncio.run(play())
    assert command(captured)[semconv.PROCESS_EXIT_CODE] == 3


# --- when a run is active --------------------------------------------------------------------------------------------


def test_without_a_run_nothing_is_recorded(captured):
    subprocess.run(["true"], check=True)
    with run("coder"):
        pass
    plays.os_system()
    assert commands(captured) == []


def test_in_a_run_but_suppressed(captured):
    with run("coder"), suppress():
        subprocess.run(["true"], check=True)
    assert commands(captured) == []


@pytest.mark.parametrize(("mode", "count"), [("active", 1), ("explicit", 0), ("off", 0)])
def test_an_unchanged_agent_from_its_first_call_on(mode, count, monkeypatch):
    monkeypatch.setenv("OTEL_AGENT_COMMANDS", mode)
    with Provider() as provider, capture() as captured:
        client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0)
        subprocess.run(["echo", "before"], check=True, capture_output=True)
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
        subprocess.run(["echo", "after"], check=True, capture_output=True)
        client.close()
        found = commands(captured)
        assert [span.attributes[semconv.PROCESS_COMMAND_ARGS][1] for span in found] == ["after"] * count
        if found:
            (root,) = roots(captured)
            assert found[0].parent.span_id == root.context.span_id
            assert root.attributes[semconv.RUN_OUTCOME] == "ok"


@pytest.mark.parametrize(("mode", "count"), [("explicit", 1), ("off", 0)])
def test_an_explicit_run(mode, count, monkeypatch):
    monkeypatch.setenv("OTEL_AGENT_COMMANDS", mode)
    with capture() as captured:
        assert "subprocess.Popen.__init__" not in _patched()
        with run("coder"):
            subprocess.run(["true"], check=True)
        assert len(commands(captured)) == count
        assert ("subprocess.Popen.__init__" in _patched()) is (mode != "off")


def _patched() -> list[str]:
    from otel_agent_instrumentation.core import patching

    return patching.patched()


def _standing() -> list[object]:
    places = (subprocess.Popen, "wait"), (os, "system"), (asyncio.subprocess.Process, "wait")
    return [vars(owner)[name] for owner, name in places]


def test_the_very_objects_come_back(captured):
    before = _standing()
    with run("coder"):
        assert not any(now is then for now, then in zip(_standing(), before, strict=True))
    install.uninstrument()
    assert all(now is then for now, then in zip(_standing(), before, strict=True))


def test_a_failing_command_does_not_make_an_implicit_run_fail():
    with Provider() as provider, capture() as captured:
        client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0)
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
        subprocess.run(["false"], check=False)
        client.close()
        (root,) = roots(captured)
        assert root.attributes[semconv.RUN_OUTCOME] == "ok"


def test_in_the_span_of_a_request_and_of_ones_own():
    with Provider() as provider, capture() as captured:
        client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0)
        tracer = captured.tracer_provider.get_tracer("theirs")
        with tracer.start_as_current_span("GET /"):
            subprocess.run(["echo", "before"], check=True, capture_output=True)
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
            with tracer.start_as_current_span("mine") as mine:
                subprocess.run(["echo", "after"], check=True, capture_output=True)
        client.close()
        (found,) = commands(captured)
        call: Any = captured.calls()[0]
        assert found.parent.span_id == mine.get_span_context().span_id
        assert found.attributes[semconv.RUN_ID] == call.attributes[semconv.RUN_ID]


# --- concurrency, looks, undo ----------------------------------------------------------------------------------------


def test_each_command_belongs_to_the_run_that_started_it(captured):
    seen: dict[str, str] = {}

    def work(number: int) -> None:
        with run(f"agent-{number}", run_id=f"r-{number}"):
            for turn in range(3):
                done = subprocess.run(["echo", f"{number}-{turn}"], capture_output=True, text=True, check=True)
                seen[done.stdout.strip()] = f"r-{number}"

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {span.attributes[semconv.PROCESS_COMMAND_ARGS][1]: span for span in commands(captured)}
    assert {key: span.attributes[semconv.RUN_ID] for key, span in found.items()} == seen
    above = {span.context.span_id: span for span in roots(captured)}
    for span in found.values():
        assert above[span.parent.span_id].attributes[semconv.RUN_ID] == span.attributes[semconv.RUN_ID]


def test_a_command_waited_for_by_several_threads_is_one(captured):
    with run("coder"):
        process = subprocess.Popen(["sleep", "0.2"])
        threads = [threading.Thread(target=process.wait) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert command(captured)[semconv.PROCESS_EXIT_CODE] == 0
    assert len(events(captured, semconv.EVENT_COMMAND_COMPLETED)) == 1


def test_the_agents_context_is_left_alone(captured):
    with run("coder"):
        before = trace.get_current_span()
        process = subprocess.Popen(["true"])
        assert trace.get_current_span() is before
        process.wait()
        assert trace.get_current_span() is before


def test_the_class_looks_the_same(captured):
    with run("first"):
        pass
    assert inspect.signature(subprocess.Popen.communicate).parameters.keys() == {"self", "input", "timeout"}
    assert "args" in inspect.signature(subprocess.Popen).parameters
    assert isinstance(subprocess.Popen, type)
    with run("coder"):
        process = subprocess.Popen(["true"])
        assert not [name for name in vars(process) if "otel" in name]
        process.wait()


def test_a_forked_childs_end_is_not_told_twice(captured):
    with run("coder"):
        process = subprocess.Popen(["true"])
        child = os.fork()
        if not child:
            core_commands.abandon_live()
            flush()
            os._exit(0)
        os.waitpid(child, 0)
        process.wait()
    assert command(captured)[semconv.COMMAND_OUTCOME] == "exited"
    flush()
    text = "".join(file.read_text() for file in Path("logs/telemetry").iterdir())
    assert text.count('"outcome":') > 0
    assert '"outcome":"unknown"' not in text
    assert '"agent.command.outcome":"unknown"' not in text


def test_a_background_command_does_not_hold_the_run_open(captured):
    with run("coder") as active:
        inner: Any = active._run
        server = subprocess.Popen(["sleep", "20"])
        assert inner.running == 0
        reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert inner.running == 1
        reader.communicate()
        assert inner.running == 0
        waiter = threading.Thread(target=server.wait)
        waiter.start()
        while inner.running != 1:
            time.sleep(0.01)
        server.kill()
        waiter.join()
        assert inner.running == 0
