# SPDX-License-Identifier: Apache-2.0
"""The demo as a person runs it, and its agent unchanged: no configuration, one tree."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.envelope import line as envelope
from otel_agent_instrumentation.testing import lines

if TYPE_CHECKING:
    from types import ModuleType

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MODELS = ("OPENAI_", "ANTHROPIC_")

pytestmark = pytest.mark.timeout(240)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


provider = load("demo_provider")


@dataclass(frozen=True)
class Demo:
    """What a run of the demo left."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def file(self) -> Path:
        """The agent's own; its servers' have a process in their names."""
        (file,) = [file for file in self.files if "." not in file.stem]
        return file

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.glob("logs/telemetry/*.jsonl"))

    def lines(self) -> list[envelope.Line]:
        return [envelope.decode(data) for file in self.files for data in file.read_bytes().splitlines()]

    def spans(self) -> list[dict[str, Any]]:
        return [one.payload for one in self.lines() if one.event == semconv.EVENT_SPAN_ENDED]

    def calls(self) -> list[dict[str, Any]]:
        return [span for span in self.spans() if span["attributes"].get(semconv.PROVIDER_NAME)]


def demo(folder: Path, *arguments: str, **variables: str) -> Demo:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith((*MODELS, "OTEL_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "demo.py"), *arguments],
        check=False,
        cwd=folder,
        env={**inherited, "COLUMNS": "110", "PYTHONIOENCODING": "utf-8", **variables},
        capture_output=True,
        timeout=120,
    )
    return Demo(done.returncode, done.stdout.decode(), done.stderr.decode(), folder)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Demo]:
    """The demo, and its agent alone; at once, for both wait for their models most of the time."""
    folder = tmp_path_factory.mktemp("a folder of any name, ünïcode and 'quotes'")
    with ThreadPoolExecutor() as threads:
        planned = threads.submit(demo, folder)
        unchanged = threads.submit(demo, tmp_path_factory.mktemp("unchanged"), "unchanged")
        return {"planned": planned.result(), "unchanged": unchanged.result()}


@pytest.fixture(params=["planned", "unchanged"])
def scripted(both: dict[str, Demo], request: pytest.FixtureRequest) -> Demo:
    return both[request.param]


@pytest.fixture
def planned(both: dict[str, Demo]) -> Demo:
    return both["planned"]


@pytest.fixture
def unchanged(both: dict[str, Demo]) -> Demo:
    return both["unchanged"]


def test_it_ends_well_and_says_where_the_ledger_is(scripted):
    assert scripted.code == 0, scripted.err
    assert len(scripted.files) == 4
    told = "".join(f"ledger  {file.relative_to(scripted.folder)}\n" for file in scripted.files)
    assert scripted.out.endswith(f"\n\n{told}")
    # One line of ours, at the exit of the agent: its servers have its environment, and know whose they are.
    (said,) = scripted.err.splitlines()
    assert re.fullmatch(r"otel-agent: \d+ events in logs/telemetry/\S+; see `otel-agent show \S+`", said)


def told_tree(span: dict[str, Any], spans: list[dict[str, Any]], cycle: int | None) -> list[str]:
    """The names of what is below ``span``, of its ``cycle``; in the order of their start, deeper ones further in."""
    found: list[str] = []
    below = [one for one in spans if one["parent_span_id"] == span["span_id"]]
    for one in sorted(below, key=lambda one: one["start_time_unix_nano"]):
        if cycle is None or one["attributes"].get(semconv.CYCLE, 0) == cycle:
            error = one["attributes"].get(semconv.ERROR_TYPE)
            found.append(one["name"] + (f" ✗ {error}" if error else ""))
            found += [f"  {name}" for name in told_tree(one, spans, None)]
    return found


STYLE = ["tools/call check_style", "  tools/call check_style", "    execute_tool findings"]


ASK, REVIEW = "chat gpt-5", "chat claude-sonnet-5"
INFERRED = ["execute_tool edit_file", "execute_tool run_tests"]
UNTIDY, UNTESTED = (
    "execute_tool command tidy-python ✗ FileNotFoundError",
    "execute_tool command python ✗ CalledProcessError",
)
REFUSED = ["tools/call check_style ✗ tool_error", "  tools/call check_style ✗ tool_error", STYLE[2]]


def cycles(told: Demo) -> list[list[str]]:
    """What is before the first cycle and in each of the three, but for what MCP does around its call."""
    spans = told.spans()
    (root,) = [span for span in spans if span["parent_span_id"] is None]
    named = [told_tree(root, spans, cycle) for cycle in (0, 1, 2, 3)]
    server = next(name.strip() for name in named[1] if "command opentelemetry-instrument" in name)
    return [[n for n in names if not re.match(r" *(initialize|tools/list|" + server + ")", n)] for names in named]


def test_each_cycle_tells_what_was_done_in_it(unchanged):
    assert cycles(unchanged) == [
        [],
        [ASK, ASK, *INFERRED, UNTIDY, UNTESTED, *REFUSED, REVIEW],
        [ASK, *INFERRED, UNTESTED, *STYLE, REVIEW],
        [ASK, "execute_tool command python", *STYLE, REVIEW, ASK],
    ]


def test_each_cycle_tells_what_it_was_for(planned):
    def within(name: str, *names: str) -> list[str]:
        return [name, *(f"  {below}" for below in names)]

    def cycle(tried: list[str], style: list[str], *more: str) -> list[str]:
        steps = [*within("agent.step", ASK, *tried), *within("agent.step", *style), *within("agent.review", REVIEW)]
        return within("agent.cycle", *steps, *more)

    assert cycles(planned) == [
        within("plan coding_agent", ASK),
        cycle([*INFERRED, UNTIDY, UNTESTED], REFUSED),
        cycle([*INFERRED, UNTESTED], STYLE),
        cycle(["execute_tool command python"], STYLE, ASK),
    ]


def test_the_tree_is_in_the_terminal(scripted):
    tree = re.sub(r"  +", "  ", re.sub(r" *<?\d+(\.\d\d s| ms)", "", scripted.out.partition("\nrun ")[2]))
    rows = [row.rstrip() for row in tree.splitlines()]
    for row in ("invoke_agent coding_agent  ok · 3 cycles", "├─ cycle 1", "├─ cycle 2", "└─ cycle 3"):
        assert row in rows
    for row in ("execute_tool edit_file", "execute_tool command python  ✗ CalledProcessError"):
        assert sum(one.endswith(f"├─ {row}") for one in rows) == 2
    assert sum("✗ tool_error" in row for row in rows) == 2
    assert sum("1 retry (429)" in row for row in rows) == 1


def test_it_is_one_trace_with_one_root_across_processes(scripted):
    spans = scripted.spans()
    (root,) = [span for span in spans if span["parent_span_id"] is None]
    assert root["name"] == "invoke_agent coding_agent"
    assert root["attributes"][semconv.RUN_OUTCOME] == "ok"
    assert {span["trace_id"] for span in spans} == {root["trace_id"]}
    assert {span["parent_span_id"] for span in spans if span is not root} <= {span["span_id"] for span in spans}
    assert len({line.pid for line in scripted.lines()}) == 4
    assert len({line.run_id for line in scripted.lines()}) == 1


def test_commands_and_files_come_from_an_unchanged_agent(unchanged):
    events = Counter(line.event for line in unchanged.lines())
    assert events["executor.command_started"] == events["executor.command_completed"] == 6
    assert events["executor.error"] == 1
    assert events["artifact.modified"] == 3


CORE: dict[str, dict[str, type | tuple[type, ...]]] = {
    "plan.generated": {"step_count": int, "reasoning_score": float, "selected_tools": list},
    "plan.step_started": {"index": int, "tool": str, "description": str},
    "plan.step_completed": {"duration_ms": float, "result_summary": str, "status": str},
    "executor.command_started": {"command": str, "arguments": list},
    "executor.command_completed": {"exit_code": int},
    "executor.error": {"exception": str, "message": str, "handled": bool},
    "review.feedback_generated": {"confidence_delta": float, "comments": list, "blocking_issues": list},
    "review.decision": {"decision": str},
    "optimizer.profile_selected": {"hardware_signature": str, "profile": str},
    "optimizer.benchmark_completed": {"tokens_per_s": float, "latency_ms": float},
}
"""The core events (E2), and the payload that each must have."""

BY_HAND = {"optimizer.profile_selected": 1, "optimizer.benchmark_completed": 1}
"""What the agent of the demo tells by a call that does nothing else, and how often."""


def test_each_core_event_is_in_the_ledger_with_its_payload(planned):
    told = planned.lines()
    for name, fields in CORE.items():
        found = [line for line in told if line.event == name]
        assert found, name
        for line in found:
            assert line.cycle in {1, 2, 3}
            assert line.payload["redacted_fields"] == []
            for field, kind in fields.items():
                assert isinstance(line.payload[field], kind), (name, field, line.payload)
    # A server's output goes to its client, not to whoever waits for its end.
    digests = [
        line.payload for line in told if line.event == "executor.command_completed" and "-m" in arguments(line, told)
    ]
    assert len(digests) == 3
    for payload in digests:
        assert payload["stdout_digest"].startswith("sha256:")
        assert payload["stderr_digest"].startswith("sha256:")
    assert [line.payload["decision"] for line in told if line.event == "review.decision"] == [
        "revise",
        "revise",
        "accept",
    ]


def arguments(line: envelope.Line, told: list[envelope.Line]) -> list[str]:
    """Those that the command was started with whose end ``line`` tells."""
    (started,) = [one for one in told if one.event == "executor.command_started" and one.span_id == line.span_id]
    return started.payload["arguments"]


def test_the_events_come_without_a_hand_written_emit(planned):
    counted = Counter(line.event for line in planned.lines() if line.event != "resource")
    by_hand = {name: counted[name] for name in BY_HAND}
    assert by_hand == BY_HAND
    code = (EXAMPLES / "planned_agent.py").read_text()
    assert len(re.findall(r"agent\.(?:profile|benchmark)\(|\.(?:feedback|decide)\(|emit", code)) == sum(
        by_hand.values()
    )
    assert 1 - sum(by_hand.values()) / counted.total() >= 0.95


def test_a_cycle_begins_with_each_answer_to_a_tool(scripted):
    assert [call["attributes"][semconv.CYCLE] for call in scripted.calls()] == [1, 1, 1, 2, 2, 3, 3, 3]


def test_the_tokens_are_those_that_the_provider_served(scripted):
    def total(name: str) -> int:
        return sum(call["attributes"].get(name, 0) for call in scripted.calls())

    served = provider.served()
    assert total(semconv.USAGE_INPUT_TOKENS) == served.input
    assert total(semconv.USAGE_OUTPUT_TOKENS) == served.output
    assert total(semconv.USAGE_CACHE_READ) == served.cached
    assert total(semconv.USAGE_REASONING) == served.reasoning


def test_streams_have_a_first_chunk_and_the_limited_call_its_retry(scripted):
    streams = [call for call in scripted.calls() if call["attributes"].get(semconv.REQUEST_STREAM)]
    assert len(streams) == 4
    for call in streams:
        first = call["attributes"][semconv.RESPONSE_TIME_TO_FIRST_CHUNK] * 1000
        assert 0 < first < call["duration_ms"]
    (retried,) = [call for call in scripted.calls() if call["attributes"].get(semconv.RETRY_COUNT)]
    assert [event["attributes"] for event in retried["events"]] == [{semconv.HTTP_STATUS: 429}]
    assert {call["status"]["code"] for call in scripted.calls()} == {"UNSET"}


def test_every_line_keeps_the_schema(scripted):
    assert lines.check_folder(scripted.file.parent) == []


def test_nothing_that_was_said_is_told_of_an_unchanged_agent(unchanged):
    text = "".join(file.read_text() for file in unchanged.files)
    for said in ("duration", "ValueError", "tests pass", "may be None"):
        assert said not in re.sub(r"duration_(ms|seconds)|durations\.py", "", text)
    told = [one for one in unchanged.lines() if "durations.py" in str(one.payload)]
    assert {one.event for one in told} == {"artifact.modified"}  # the file's name, by what was done to it


def test_the_agent_knows_nothing_of_us():
    for name in ("coding_agent.py", "workspace.py"):
        code = (EXAMPLES / name).read_text().partition('"""')[2].partition('"""')[2]
        assert not re.search(r"otel|opentelemetry|telemetry|span|trace", code, re.IGNORECASE)


def test_with_a_provider_of_the_persons_own_only_openai_is_asked(tmp_path):
    with provider.provider() as own:
        told = demo(tmp_path, OPENAI_BASE_URL=f"{own.url}/v1", OPENAI_MODEL="some-model")
        asked = {request.path for request in own.requests}
        models = {json.loads(request.body)["model"] for request in own.requests}
    assert told.code == 0, told.err
    assert (asked, models) == ({"/v1/chat/completions", "/v1/responses"}, {"some-model"})
    assert "chat some-model" in told.out


def test_an_agent_that_fails_fails_the_demo(tmp_path):
    told = demo(tmp_path, OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert told.code == 1
    assert "✗ APIConnectionError" in told.out


def test_no_tree_fails_the_demo(tmp_path):
    told = demo(tmp_path, OTEL_SDK_DISABLED="true")
    assert told.code == 1
    assert "left no ledger file in logs/telemetry" in told.err
    assert not (tmp_path / "logs").exists()


def test_an_unchanged_agents_life_is_told_without_a_word_of_its_own(unchanged):
    told = Counter(line.event for line in unchanged.lines() if line.tags.get("category"))
    assert told == {"session_start": 1, "task_started": 1, "task_completed": 1, "session_end": 1}
    own = [line for line in unchanged.lines() if line.tags.get("category")]
    assert len({line.run_id for line in own}) == 1
    (ended,) = [line.payload for line in own if line.event == "task_completed"]
    assert (ended["outcome"], ended["cycles"]) == ("ok", 3)


OF_CLIENT = "uname -p"
"""What Python's `platform` runs when the model's client asks it what machine this is: no command of the agent's."""
AUDITED = """
import runpy, sys
script, counted = sys.argv[1:]

def seen(event, arguments):
    if event == "subprocess.Popen":
        with open(counted, "a") as file:
            print(*arguments[1], file=file)

sys.addaudithook(seen)
sys.argv = [script]
runpy.run_path(script, run_name="__main__")
"""


def test_what_the_provider_and_the_interpreter_count_is_in_the_ledger(tmp_path):
    """Of an unchanged agent, which calls nothing of ours: requests, tool calls, commands and cycles (L5)."""
    launcher = [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable]
    (tmp_path / "audited.py").write_text(AUDITED)
    with provider.provider() as own:
        done = subprocess.run(
            [*launcher, "audited.py", EXAMPLES / "coding_agent.py", "commands"],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "PYTHONPATH": str(EXAMPLES),
                "OPENAI_BASE_URL": f"{own.url}/v1",
                "OPENAI_API_KEY": "demo",
                "ANTHROPIC_BASE_URL": own.url,
                "ANTHROPIC_API_KEY": "demo",
                "STYLE_SERVER": shlex.join([*launcher, str(EXAMPLES / "style_server.py")]),
            },
            check=False,
            capture_output=True,
            timeout=120,
        )
        bodies = [json.loads(request.body) for request in own.requests]
    told = Demo(done.returncode, done.stdout.decode(), done.stderr.decode(), tmp_path)
    assert told.code == 0, told.err
    answers = [[one["tool_call_id"] for one in body.get("messages", ()) if one["role"] == "tool"] for body in bodies]
    asked = {identity for answer in answers for identity in answer}
    tools = {span["attributes"].get(semconv.TOOL_CALL_ID) for span in told.spans()}
    retries = sum(len(call["events"]) for call in told.calls() if call["attributes"].get(semconv.RETRY_COUNT))
    found = {
        "requests": (len(told.calls()) + retries, len(bodies)),
        "tool calls": (len(tools & asked), len(asked)),
        "commands": (
            sum(span["name"].startswith("execute_tool command ") for span in told.spans()),
            len([one for one in (tmp_path / "commands").read_text().splitlines() if one != OF_CLIENT]),
        ),
        # One begins with the answers to a set of tool calls, and the first before there is any.
        "cycles": (len({line.cycle for line in told.lines()} - {0}), len({*map(tuple, answers), ()})),
    }
    assert all(counted >= 3 for _, counted in found.values()), found
    assert all(0.95 * counted <= recorded <= counted for recorded, counted in found.values()), found
