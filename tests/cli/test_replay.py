# SPDX-License-Identifier: Apache-2.0
"""`otel-agent replay`: the spans of a run arrive as they did, whatever is in the lines; and the run step by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from clients import ASK, Scene
from ledger_lines import BEGAN, RUN, RUN_LINES, TRACE, call, line, root, span, tokens, write
from otel_agent_instrumentation import cycle, run, semconv, state, tool
from otel_agent_instrumentation.cli import main
from otel_agent_instrumentation.envelope.line import timestamp
from otel_agent_instrumentation.ledger.exporter import EnvelopeSpanExporter
from otel_agent_instrumentation.pipeline.otlp import OtlpOptions, make_otlp_exporters
from otel_agent_instrumentation.pipeline.processors import AgentSpanProcessor
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.otlp_grpc import GrpcSink
from otel_agent_instrumentation.testing.otlp_sink import Fault, OtlpSink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_agent_instrumentation.testing.otlp_sink import Inbox, SpanRecord

LEDGER = Path("logs/telemetry")
FILE = LEDGER / f"{RUN}.jsonl"
SECRET = "-".join(("sk", "ant", "api03", "q7" * 40))


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as sink:
        yield sink


def replayed(capsys: Any, *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(["replay", *arguments]) == code
    return capsys.readouterr()


def by_id(inbox: Inbox) -> dict[tuple[str, str], SpanRecord]:
    found = {(one.trace_id, one.span_id): one for one in inbox.spans()}
    assert len(found) == len(inbox.spans())
    return found


# --- as they were ----------------------------------------------------------------------------------------------------


@tool
def look(path: str) -> str:
    raise FileNotFoundError(path)


def lived(sink: OtlpSink) -> None:
    """A run of all that a span can be, exported to ``sink`` as it goes, others' spans in the ledger as well."""
    target = make_otlp_exporters(
        "http/protobuf", ("traces",), OtlpOptions(endpoints={"traces": f"{sink.url}/v1/traces"})
    )
    with Scene() as scene, capture() as captured:
        provider = captured.tracer_provider
        live, kept = AgentSpanProcessor(target.spans), AgentSpanProcessor(EnvelopeSpanExporter())
        provider.add_span_processor(live)
        provider.add_span_processor(kept)
        other = provider.get_tracer("somebody.else", "7.1", schema_url="https://example.org/1.0")
        far = SpanContext(0xA1, 0xB2, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("k", "v")]))
        with run("coder", tags=["x"], metadata={"number": 7, "key": SECRET}), cycle(), state("ACT"):
            scene.openai.chat.completions.create(**{**ASK, "messages": [{"role": "user", "content": SECRET}]})
            scene.openai.chat.completions.create(**{**ASK, "model": SECRET})
            with pytest.raises(FileNotFoundError):
                look("none.txt")
            with other.start_as_current_span(
                f"POST {SECRET}", kind=SpanKind.PRODUCER, links=[Link(far, {"why": "batch"})]
            ) as theirs:
                theirs.add_event("sent", {"bytes": 5, "parts": ["a", "b"], "secret": SECRET}, 1_700_000_000_000_000_001)
                theirs.set_attributes({"whole": 3, "part": 3.0, "flags": [True, False], "text": "ünï\x00"})
                theirs.set_status(Status(StatusCode.ERROR, "no answer"))
        assert kept.force_flush()
        captured.lines()
        assert live.force_flush()


@pytest.mark.parametrize("content", ["NO_CONTENT", "SPAN_ONLY"])
def test_what_arrives_is_what_arrived_then(sink, capsys, monkeypatch, content):
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", content)
    with OtlpSink() as live:
        lived(live)
        before = by_id(live)
    told, _ = replayed(capsys, "--to", sink.url)
    assert told == f"{len(before)} spans of 1 run sent to {sink.url}/v1/traces\n"
    after = by_id(sink)
    assert set(after) == set(before)
    for ids, one in before.items():
        assert after[ids] == one
    assert len({one.kind for one in before.values()}) == 3
    assert any(semconv.REDACTED_FIELDS in one.attributes for one in before.values())
    assert not any(SECRET.encode() in request.body for request in sink.requests)


def test_each_process_has_its_own_resource(sink, capsys):
    def resource(name: str, pid: int, **keys: Any) -> dict[str, Any]:
        return line("resource", {"attributes": {"service.name": name, "process.pid": pid}}, pid=pid, **keys)

    other = "20261121T080000Z-bbbbbbbb"
    shared = [
        resource("one", 1),
        resource("two", 2, run_id=other),
        span("b", 2, 1, pid=2),
        span("a", 1, pid=1),
        span("theirs", 9, pid=2, run_id=other),
        span("c", 3, 1, pid=3),
    ]
    write(FILE, shared)
    write(LEDGER / f"{RUN}.4-99.jsonl", [resource("four", 4), span("d", 4, 1, pid=4), span("d", 4, 1, pid=4)])
    replayed(capsys, RUN, "--to", sink.url)
    found = {one.name: (one.resource.get("service.name"), one.parent_id) for one in sink.spans()}
    parent = f"{1:016x}"
    assert found == {"a": ("one", None), "b": ("two", parent), "c": ("two", parent), "d": ("four", parent)}
    assert len(sink.spans()) == 4


def test_over_grpc(capsys):
    write(FILE, RUN_LINES)
    with GrpcSink() as grpc:
        replayed(capsys, "--to", grpc.url, "--protocol", "grpc")
        assert len(by_id(grpc)) == sum(one["event"] == semconv.EVENT_SPAN_ENDED for one in RUN_LINES)


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_the_environment_names_the_receiver(sink, capsys, monkeypatch, variable):
    monkeypatch.setenv(variable, sink.url + ("/v1/traces" if "TRACES" in variable else ""))
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    write(FILE, [span("a", 1)])
    replayed(capsys)
    assert [one.name for one in sink.spans()] == ["a"]


def test_a_long_run_is_sent_whole_and_once(sink, capsys):
    write(FILE, [span("a", number) for number in range(1, 1301)])
    told, _ = replayed(capsys, "--json", "--to", sink.url)
    assert json.loads(told) == {
        "runs": [RUN],
        "spans": 1300,
        "exported": 1300,
        "unreadable_lines": 0,
        "not_delivered": 0,
        "reasons": {},
    }
    assert len(by_id(sink)) == 1300


# --- what does not go well -------------------------------------------------------------------------------------------


BAD: list[dict[str, Any]] = [
    {"trace_id": "x"},
    {"trace_id": None},
    {"span_id": "0" * 16},
    {"span_id": 7},
    {"kind": "SIDEWAYS"},
    {"status": {"code": "MAYBE"}},
    {"start_time_unix_nano": "now"},
    {"end_time_unix_nano": -1},
    {"end_time_unix_nano": 1 << 70},
    {"parent_span_id": "none"},
    {"events": [{"name": "x"}]},
    {"links": [{"trace_id": TRACE}]},
]
ODD: list[dict[str, Any]] = [
    {"status": None, "scope": None, "events": None, "links": None, "attributes": None},
    {"status": "ERROR", "scope": [], "events": {}, "links": 3, "attributes": "x"},
    {"trace_state": None, "name": None, "redacted_fields": None},
    {"attributes": {"list": [1, "a", None, {"k": []}], "none": None, "big": 1 << 62}},
]


def test_a_line_that_is_no_span_is_left_out_and_the_others_are_sent(sink, capsys):
    lines = [span("good", 1)]
    for number, odd in enumerate([*BAD, *ODD], start=2):
        one = span("odd", number)
        one["payload"] |= odd
        lines.append(one)
    write(FILE, lines)
    FILE.write_bytes(FILE.read_bytes() + b'{"schema_version": "1.0", "torn')
    _, said = replayed(capsys, "--to", sink.url)
    assert len(sink.spans()) == 1 + len(ODD)
    assert said == f"otel-agent: left out: {len(BAD) + 1} lines that cannot be read as a span\n"


def test_what_otlp_cannot_say_costs_itself(sink, capsys):
    write(FILE, [span("a", 1, attributes={"number": 1 << 63, "text": "x"}), span("b", 3)])
    _, said = replayed(capsys, "--to", sink.url)
    assert {one.name: one.attributes for one in sink.spans()} == {"a": {"text": "x"}, "b": {}}
    assert said == ""


def test_a_line_with_a_secret_in_it_does_not_leave(sink, capsys):
    write(FILE, [span(f"run {SECRET}", 1, attributes={"text": SECRET})])
    replayed(capsys, "--to", sink.url)
    (one,) = sink.spans()
    assert SECRET not in str(one)
    assert one.attributes["text"] == "REDACTED"


def test_a_receiver_that_comes_back_in_time_gets_all(sink, capsys):
    sink.fail(Fault(status=503, times=5))
    write(FILE, [span("a", 1), span("b", 2)])
    replayed(capsys, "--to", sink.url)
    assert len(by_id(sink)) == 2


def test_a_receiver_that_is_down_or_refuses_is_told(sink, capsys):
    write(FILE, [span("a", 1), span("b", 2)])
    sink.fail(Fault(status=400))
    told, said = replayed(capsys, "--to", sink.url, code=1)
    assert (told, said) == ("", "otel-agent: 2 spans not delivered (http_400 1)\n")
    sink.refuse()
    _, said = replayed(capsys, "--to", sink.url, "--patience", "0", code=1)
    assert said.startswith("otel-agent: 2 spans not delivered (unreachable ")


def test_without_a_receiver_or_a_run_it_says_what_to_do(capsys, sink):
    _, said = replayed(capsys, "--to", sink.url, code=1)
    assert "no run in logs/telemetry" in said
    write(FILE, [line("plan.generated", {})])
    _, said = replayed(capsys, "--to", sink.url, code=1)
    assert "nothing to send" in said
    _, said = replayed(capsys, code=2)
    assert "--to http://localhost:4318" in said


@pytest.mark.logs
def test_a_receiver_that_is_no_address_is_told(capsys):
    write(FILE, [span("a", 1)])
    replayed(capsys, "--to", "nonsense", code=2)


@pytest.mark.parametrize("patience", ["-1", "nan", "soon", "1e9"])
def test_a_wrong_patience_is_wrong_usage(capsys, patience):
    with pytest.raises(SystemExit) as raised:
        main(["replay", f"--patience={patience}"])
    assert raised.value.code == 2


# --- step by step ----------------------------------------------------------------------------------------------------


TOOL = {semconv.OPERATION_NAME: semconv.EXECUTE_TOOL, semconv.TOOL_NAME: "edit"}
STEPS = [
    line("plan.generated", {"step_count": 2, "selected_tools": ["edit"]}, 5, cycle=1),
    line("agent.state.entered", {"state": "ACT"}, 6, cycle=1),
    line("plan.step_started", {"index": 1, "tool": "edit"}, 7, cycle=1),
    call(2, at=(10, 40), attributes={**tokens(10, 5), semconv.COST_MICROUSD: 700}),
    span("execute_tool edit", 3, 1, at=(50, 60), attributes=TOOL, cycle=1),
    span("tools/call edit", 4, 3, at=(51, 59), attributes=TOOL, cycle=1, pid=2),
    line("artifact.created", {"path": "a.py"}, 55, cycle=1),
    line("artifact.modified", {"path": "a.py"}, 56, cycle=1),
    line("plan.step_completed", {"index": 1, "status": "ok"}, 61, cycle=1),
    line("agent.state.exited", {"state": "ACT"}, 62, cycle=1),
    line("review.decision", {"decision": "accept"}, 63, cycle=1),
    span("execute_tool edit", 5, 1, at=(70, 75), status="ERROR", attributes=TOOL, cycle=2),
    line("alert_triggered", {"message": "slow"}, 80, cycle=2),
    root(100),
]


def stepped(capsys: Any) -> list[dict[str, Any]]:
    told, _ = replayed(capsys, "--step", "--json")
    return [json.loads(one) for one in told.splitlines()]


def test_the_state_is_rebuilt_at_each_step(capsys):
    write(FILE, STEPS)
    steps = stepped(capsys)
    assert [one["step"] for one in steps] == list(range(1, len(steps) + 1))
    assert steps[-1]["of"] == len(steps)
    assert [one["since_ms"] for one in steps] == sorted(one["since_ms"] for one in steps)
    at = {(one["what"], one["name"], one["since_ms"]): one["state"] for one in steps}
    asking = at["begins", "chat gpt-5", 10]
    assert (asking["calls"], asking["input_tokens"], asking["cycle"]) == (0, None, 1)
    assert (asking["states"], asking["step"], asking["plan"]["step_count"]) == (
        ["ACT"],
        {"index": 1, "tool": "edit"},
        2,
    )
    assert asking["open"] == [steps[0]["name"], "cycle 1", "chat gpt-5"]
    answered = at["ends", "chat gpt-5", 40]
    assert (answered["calls"], answered["input_tokens"], answered["cost_microusd"]) == (1, 10, 700)
    # The server's half of the tool is not another one.
    assert at["ends", "tools/call edit", 59]["tools"] == {}
    assert at["ends", "execute_tool edit", 60]["tools"] == {"edit": {"calls": 1, "errors": 0}}
    assert at["event", "artifact.modified", 56]["files"] == {"modified": 1}
    done = at["event", "review.decision", 63]
    assert (done["states"], done["step"], done["decision"]) == ([], None, "accept")
    last = steps[-1]["state"]
    assert last["tools"] == {"edit": {"calls": 2, "errors": 1}}
    assert (last["open"], last["outcome"], last["alerts"]) == ([], "ok", 1)


def test_what_ends_at_once_ends_from_the_inside(capsys):
    write(FILE, [span("inner", 3, 2, at=(20, 90)), span("outer", 2, 1, at=(20, 90)), root(90)])
    told = [(one["what"], one["name"]) for one in stepped(capsys)]
    whole = "invoke_agent coder"
    assert told == [
        *(("begins", name) for name in (whole, "outer", "inner")),
        *(("ends", name) for name in ("inner", "outer", whole)),
    ]


def test_the_last_state_is_what_show_says(capsys):
    write(FILE, RUN_LINES)
    last = stepped(capsys)[-1]["state"]
    assert main(["show", "--json"]) == 0
    total = json.loads(capsys.readouterr().out)["total"]
    assert [last["calls"], last["call_errors"], last["input_tokens"], last["output_tokens"]] == [
        total["calls"],
        total["errors"],
        total["input"],
        total["output"],
    ]


def test_the_steps_as_text(capsys):
    write(FILE, STEPS)
    told, _ = replayed(capsys, "--step")
    lines = told.splitlines()
    assert lines[0].split() == ["1/23", "+", "0", "ms", "begins", "invoke_agent", "coder"]
    assert lines[-1].split(" · ") == [
        "      1 call",
        "10 in, 5 out",
        "$0.0007",
        "2 tools, 1 failed",
        "~1",
        "1 alert",
        "ok",
    ]


def test_hostile_text_shows_as_text(capsys):
    write(FILE, [span("\x1b[31m<b>\u202eevil", 1), line("\x1b]0;x\x07", {"a": "\x1b[2J"}, 5), root(100)])
    told, _ = replayed(capsys, "--step")
    assert "\x1b" not in told
    assert "\u202e" not in told
    told, _ = replayed(capsys, "--step", "--json")
    assert told.isascii()
    assert "\x1b" not in told


def test_on_a_terminal_it_waits_for_each_step(capsys, monkeypatch):
    write(FILE, STEPS)
    answers = iter(["", "10", "q"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    told, _ = replayed(capsys, "--step", "--no-color")
    shown = [one for one in told.splitlines() if "/23 " in one]
    assert len(shown) == 10
    assert list(answers) == []


def test_the_times_are_those_of_the_lines(capsys):
    write(FILE, [span("a", 1, at=(0, 20))])
    assert stepped(capsys)[0]["time"] == timestamp(BEGAN)
