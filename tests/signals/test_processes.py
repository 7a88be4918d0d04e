# SPDX-License-Identifier: Apache-2.0
"""A run reaches into the processes that it starts: same id, a file of their own, their spans below its own."""

from __future__ import annotations

import multiprocessing
import os
import re
import subprocess
import sys
import sysconfig
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.pool import Pool
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

import otel_agent_instrumentation as agent
from otel_agent_instrumentation import config, semconv
from otel_agent_instrumentation.core import handover, runs
from otel_agent_instrumentation.envelope import line as envelope
from otel_agent_instrumentation.testing import lines
from otel_agent_instrumentation.testing.capture import capture

pytestmark = pytest.mark.timeout(240)

AGENT = Path(__file__).with_name("run_processes.py")
FOLDER = Path("logs/telemetry")


def launch(*arguments: str, program: Path = AGENT, **variables: str) -> dict[str, list[envelope.Line]]:
    """Run the agent under the launcher; its lines by file."""
    launcher = Path(sysconfig.get_path("scripts")) / "opentelemetry-instrument"
    done = subprocess.run(
        [str(launcher), sys.executable, str(program), *arguments],
        check=False,
        capture_output=True,
        timeout=200,
        env={**os.environ, "OTEL_AGENT_SUMMARY": "false", **variables},
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert lines.check_folder(FOLDER) == []
    return {file.name: [*map(envelope.decode, file.read_bytes().splitlines())] for file in FOLDER.glob("*.jsonl")}


def spans(told: list[envelope.Line]) -> list[dict[str, Any]]:
    return [line.payload for line in told if line.event == semconv.EVENT_SPAN_ENDED]


def of(span: dict[str, Any], name: str) -> Any:
    return span["attributes"].get(name)


def one_run(files: dict[str, list[envelope.Line]]) -> tuple[dict[str, Any], list[list[envelope.Line]]]:
    """The parent's root span, and the lines of each other process, all of the one run."""
    (run_id,) = {line.run_id for told in files.values() for line in told}
    parent = files.pop(f"{run_id}.jsonl")
    (root,) = [span for span in spans(parent) if span["parent_span_id"] is None]
    assert all(name.startswith(f"{run_id}.") and name.count("-") == 2 for name in files), list(files)
    assert {span["trace_id"] for told in [parent, *files.values()] for span in spans(told)} == {root["trace_id"]}
    return root, list(files.values())


def assert_carried(told: list[envelope.Line]) -> None:
    """All that the run was given is on all that the child told, and the cycle that it was started in."""
    for line in told:
        if line.event == semconv.EVENT_RESOURCE:
            continue
        assert (line.cycle, line.tags["task"], line.tags["agent"], line.tags["a"]) == (2, "t", "parent", "true")
    for span in spans(told):
        assert (of(span, semconv.USER_ID), of(span, "agent.metadata.team"), of(span, semconv.TAGS)) == (
            "u-1",
            "x",
            ["a"],
        )
        assert (of(span, semconv.CYCLE), of(span, semconv.AGENT_NAME)) == (2, "parent")


def cycle_span(files: dict[str, list[envelope.Line]]) -> str:
    (found,) = [
        s["span_id"]
        for t in files.values()
        for s in spans(t)
        if (s["name"], of(s, "agent.cycle")) == ("agent.cycle", 2)
    ]
    return found


def test_programs_join_the_run_with_a_root_of_their_own():
    files = launch("by_subprocess")
    above = cycle_span(files)
    _, children = one_run(files)
    assert len(children) == 2
    for told in children:
        assert_carried(told)
        step, root = sorted(spans(told), key=lambda span: span["name"])
        assert root["start_time_unix_nano"] <= step["start_time_unix_nano"]
        assert (root["name"], root["parent_span_id"], of(root, semconv.RUN_IMPLICIT)) == (
            "invoke_agent parent",
            above,
            True,
        )
        assert (step["name"], step["parent_span_id"]) == ("agent.step", root["span_id"])


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_process_joins_the_run_whatever_its_start_method(method):
    files = launch("by_process", method)
    above = cycle_span(files)
    _, children = one_run(files)
    (told,) = children
    assert_carried(told)
    (step,) = spans(told)
    assert (step["name"], step["parent_span_id"]) == ("agent.step", above)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_pools_worker_serves_each_run_as_that_runs(method):
    files = launch("by_pools", method)
    told = [line for lines_ in files.values() for line in lines_]
    ids = {of(s, semconv.AGENT_NAME): of(s, semconv.RUN_ID) for s in spans(told) if s["parent_span_id"] is None}
    steps = [span for span in spans(told) if span["name"] == "agent.step"]
    assert Counter(of(step, semconv.TOOL_NAME) for step in steps) == {"first": 2, "second": 3, "none": 2}
    for step in steps:
        name = of(step, semconv.TOOL_NAME)
        if name == "none":
            assert of(step, semconv.RUN_ID) not in {ids["first"], ids["second"]}
        else:
            assert of(step, semconv.RUN_ID) == ids[name]
            assert of(step, semconv.CYCLE) == (1 if name == "first" else None)
    for name in ("first", "second"):
        mine = {file for file in files if file.startswith(ids[name])}
        assert f"{ids[name]}.jsonl" in mine
        assert len(mine) == 3  # the parent, the executor's worker, the pool's


def test_a_bare_fork_ends_nothing_of_its_parents():
    files = launch("by_fork")
    everything = [span["span_id"] for told in files.values() for span in spans(told)]
    root, children = one_run(files)
    (told,) = children
    assert sorted(span["name"] for span in spans(told)) == ["agent.step", "invoke_agent inner"]
    assert of(root, semconv.RUN_CYCLES) == 2
    assert len(everything) == len(set(everything))


# --- what is handed over ----------------------------------------------------------------------------------------------


def test_a_callers_own_environment_and_ours_are_left_alone():
    show = [
        sys.executable,
        "-S",
        "-c",
        "import os; print(sorted(k for k in os.environ if k.startswith(('OTEL_AGENT_P','TRACEP'))))",
    ]
    before = dict(os.environ)
    mine = {"PATH": os.environ["PATH"]}
    with capture(), agent.run("coder"):
        own = subprocess.run(show, check=True, capture_output=True, text=True, env=mine).stdout
        inherited = subprocess.run(show, check=True, capture_output=True, text=True).stdout
        assert dict(os.environ) == before
    assert mine == {"PATH": os.environ["PATH"]}
    assert own == "[]\n"
    assert inherited == "['OTEL_AGENT_PARENT_RUN', 'TRACEPARENT']\n"
    with capture():
        assert subprocess.run(show, check=True, capture_output=True, text=True).stdout == "[]\n"


_STARTS_A_CHILD: list[tuple[Any, str]] = (
    [(subprocess, "_fork_exec"), (subprocess.Popen, "_posix_spawn")]
    if hasattr(subprocess, "_fork_exec")
    else [(subprocess.Popen, "_execute_child")]
)


@pytest.mark.parametrize("close_fds", [True, False], ids=["forked", "spawned"])
def test_a_child_has_all_that_it_had_and_its_run(close_fds, monkeypatch):
    monkeypatch.setenv("OTEL_AGENT_PARENT_RUN", '{"id": "", "agent": "a", "cycle": 0}')  # replaced, not there twice
    monkeypatch.setitem(os.environb, b"ODD_NAME", b"a=b\xff c")
    with capture(), agent.run("coder"):
        told = handover.here()
        listing = subprocess.Popen(["/usr/bin/env", "-0"], stdout=subprocess.PIPE, close_fds=close_fds)
        inherited = listing.communicate()[0].split(b"\0")
    assert told is not None
    ours = (b"OTEL_AGENT_PARENT_RUN=", b"TRACEPARENT=")
    rest = {line for line in inherited if line and not line.startswith(ours)}
    # Without what C code put into the environment behind Python's back, as readline does.
    assert rest == {name + b"=" + value for name, value in os.environb.items() if name + b"=" not in ours}
    assert [line.decode() for line in inherited if line.startswith(ours)] == [
        f"OTEL_AGENT_PARENT_RUN={told[0]}",
        f"TRACEPARENT={told[1]}",
    ]


def test_an_environment_of_texts_is_handed_over_as_well(monkeypatch):
    expected = {*config.child_variables("run", "parent")}
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert {*config.child_variables("run", "parent")} == expected


def test_taken_back_everything_is_what_it_was():
    places = [
        *_STARTS_A_CHILD,
        (BaseProcess, "start"),
        (BaseProcess, "_bootstrap"),
        (ProcessPoolExecutor, "submit"),
        *((Pool, name) for name in ("apply_async", "_map_async", "imap", "imap_unordered")),
    ]
    before = [vars(cls)[name] for cls, name in places]
    with capture():
        assert all(vars(cls)[name] is not old for (cls, name), old in zip(places, before, strict=True))
    assert all(vars(cls)[name] is old for (cls, name), old in zip(places, before, strict=True))


def test_what_cannot_be_sent_fails_as_it_did():
    def failure() -> str:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
            return repr(pool.submit(lambda: None).exception(timeout=60))

    plain = failure()
    with capture(), agent.run("coder"):
        told = failure()
    at = re.compile(r"0x\w+")
    assert at.sub("", told) == at.sub("", plain)
    assert "pickle" in plain


def test_what_is_handed_over_is_what_arrives():
    with capture():
        with (
            agent.run("coder", task="tâche \U0001f600", tags=["a", "b"], metadata={"n": 1.5, "ok": True}) as this,
            agent.cycle(),
        ):
            here = runs.current()
            told = handover.here()
        assert told is not None
        assert told[0].isascii()  # whatever encoding an environment has
        place = handover.there(*told)
    assert here is not None
    assert place is not None
    assert place.run is not None
    assert (place.run.id, place.run.agent, place.run.task) == (this.id, "coder", "tâche \U0001f600")
    assert (place.run.stamp, place.run.tags, place.run.pinned) == (here.stamp, here.tags, 1)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("text", "parent"),
    [
        ("", ""),
        ("no json", "00-x"),
        ("[]", ""),
        ("{}", ""),
        ('{"id": 1, "agent": "a", "cycle": 0}', ""),
        ('{"id": "", "agent": "a", "cycle": 0}', ""),
        ('{"id": "r", "agent": "a", "cycle": -1}', ""),
        ('{"id": "r", "agent": "a", "cycle": true}', ""),
        ("[" * 100_000, ""),
    ],
)
def test_what_is_no_run_is_none(text, parent, monkeypatch):
    monkeypatch.setenv("OTEL_AGENT_PARENT_RUN", text)
    monkeypatch.setenv("TRACEPARENT", parent)
    with capture() as captured:
        assert runs.current() is None
        with agent.run("coder"):
            pass
        assert captured.span().parent is None


@pytest.mark.parametrize("stamp", ['{"a": {"b": 1}}', '{"a": [1]}', "[]", "3", "null", '{"a": null}'])
def test_a_stamp_that_is_none_is_left_out(stamp, monkeypatch):
    monkeypatch.setenv("OTEL_AGENT_PARENT_RUN", f'{{"id": "r", "agent": "a", "cycle": 0, "stamp": {stamp}}}')
    monkeypatch.setenv("TRACEPARENT", "00-" + "0" * 32 + "-" + "0" * 16 + "-01")
    with capture() as captured:
        with agent.step():
            pass
        spans_ = captured.spans(roots=True)
    assert {str((span.attributes or {})[semconv.RUN_ID]) for span in spans_} == {"r"}
    assert all("a" not in (span.attributes or {}) for span in spans_)
    assert runs.inherited() is None


def test_much_that_a_run_was_given_does_not_fill_the_environment():
    much = {f"k{n}" * 60: "v" * 256 for n in range(32)}
    more = {f"m{n}" * 60: "v" * 256 for n in range(32)}
    with capture(), agent.run("coder", metadata=much, tags=["t" * 256] * 32), agent.run("inner", metadata=more):
        told = handover.here()
    assert told is not None
    assert len(told[0]) < 16_500
    environment = {os.fsdecode(name): value for name, value in config.child_environment(*told).items()}
    assert len(environment["OTEL_AGENT_PARENT_RUN"]) < 16_500
    assert environment.keys() == {*os.environ, "OTEL_AGENT_PARENT_RUN", "TRACEPARENT"}
