# SPDX-License-Identifier: Apache-2.0
"""Cycles, steps, plans, reviews and states: their spans, their events (E2) and their metrics."""

from __future__ import annotations

import asyncio
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, use_span

import otel_agent_instrumentation as agent
from clients import ASK, async_openai
from left import everything
from otel_agent_instrumentation import declared, semconv
from otel_agent_instrumentation.signals.told import FIELDS
from otel_agent_instrumentation.testing import lines
from otel_agent_instrumentation.testing.capture import capture
from runs_seen import below, calls, chat_agent, cycles, of, roots, run_ids, span_id, trace_ids

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from clients import Scene
    from otel_agent_instrumentation.testing.capture import Captured

SECRET = "sk-proj-T3Bl" + "bkFJx9Qe7LmN4vRz81KsWp20YtHc"


def ask(scene: Scene, **changes: Any) -> Any:
    return scene.openai.chat.completions.create(**{**ASK, **changes})


def named(captured: Captured, name: str) -> list[ReadableSpan]:
    return [span for span in captured.spans(roots=True) if span.name == name]


def one(captured: Captured, name: str) -> ReadableSpan:
    (span,) = named(captured, name)
    return span


def payloads(captured: Captured, event: str) -> list[dict[str, Any]]:
    return [line.payload for line in captured.lines() if line.event == event]


def everything_said() -> None:
    """Each block and event of the run API, once."""
    with agent.run("coder", task="t", user="u-1", session="s-1", tags={"a": "b"}, metadata={"team": "x"}):
        agent.profile("fast", "arm64/16")
        agent.benchmark(41.5, 380)
        with agent.plan(2, reasoning_score=0.7, selected_tools=["edit", "test"]):
            pass
        with agent.cycle(), agent.state("ACT"), agent.step("edit the parser", tool="edit") as step:
            step.result = "3 lines"
        with agent.review() as review:
            review.feedback("well done", confidence_delta=0.2, blocking_issues=["no test"])
            review.decide("revise")


# --- events -----------------------------------------------------------------------------------------------------------

TOLD: list[tuple[str, str, dict[str, Any]]] = [
    ("optimizer", "optimizer.profile_selected", {"hardware_signature": "arm64/16", "profile": "fast"}),
    ("optimizer", "optimizer.benchmark_completed", {"tokens_per_s": 41.5, "latency_ms": 380}),
    ("planner", "plan.generated", {"step_count": 2, "reasoning_score": 0.7, "selected_tools": ["edit", "test"]}),
    ("coder", "agent.state.entered", {"state": "ACT"}),
    ("planner", "plan.step_started", {"index": 1, "tool": "edit", "description": "edit the parser"}),
    ("planner", "plan.step_completed", {"duration_ms": ..., "result_summary": "3 lines", "status": "ok"}),
    ("coder", "agent.state.exited", {"state": "ACT", "dwell_ms": ...}),
    (
        "reviewer",
        "review.feedback_generated",
        {"confidence_delta": 0.2, "comments": ["well done"], "blocking_issues": ["no test"]},
    ),
    ("reviewer", "review.decision", {"decision": "revise"}),
]

LIFECYCLE = ("session_", "task_")  # of the run around it


def test_each_event_is_a_line_with_the_payload_of_its_row() -> None:
    with capture() as captured:
        everything_said()
        told = [line for line in captured.lines() if not line.event.startswith(("span.", "resource", *LIFECYCLE))]
    seen = [
        (line.source, line.event, {key: value for key, value in line.payload.items() if key != "redacted_fields"})
        for line in told
    ]
    for _, _, payload in seen:
        payload.update({key: ... for key, value in payload.items() if key.endswith("_ms") and value != 380})
    assert seen == TOLD
    assert {event for _, event, _ in TOLD} == set(FIELDS)
    assert [line.cycle for line in told] == [0, 0, 0, 1, 1, 1, 1, 0, 0]
    assert all(line.run_id == told[0].run_id and line.tags["task"] == "t" for line in told)
    assert lines.check_folder(Path("logs/telemetry")) == []


def test_each_event_is_a_log_event_with_the_runs_attributes() -> None:
    with capture() as captured:
        everything_said()
        logs, told = captured.logs(), [line for line in captured.lines() if line.event in FIELDS]
    assert [log.event_name for log in logs] == [event for _, event, _ in TOLD]
    for log, line in zip(logs, told, strict=True):
        attributes = dict(log.attributes or {})
        assert (f"{log.trace_id:032x}", f"{log.span_id:016x}") == (line.trace_id, line.span_id)
        assert attributes[semconv.RUN_ID] == line.run_id
        assert attributes.get(semconv.CYCLE, 0) == line.cycle
        assert (attributes[semconv.USER_ID], attributes["agent.metadata.team"]) == ("u-1", "x")
        assert {name for name in attributes if not declared.declared(name)} == set()
        for key, name in FIELDS[line.event].items():
            value = attributes[name]
            assert line.payload[key] == (list(value) if isinstance(value, tuple) else value)


@pytest.mark.parametrize("event", FIELDS)
def test_the_schema_knows_each_payload(event: str) -> None:
    with capture() as captured:
        everything_said()
        assert captured.lines()
    file = next(Path("logs/telemetry").glob("*.jsonl"))
    (good,) = [one for one in map(json.loads, file.read_bytes().splitlines()) if one["event"] == event]
    assert lines.check_line(json.dumps(good).encode()) == []
    for key in FIELDS[event]:
        less = {**good, "payload": {name: value for name, value in good["payload"].items() if name != key}}
        assert lines.check_line(json.dumps(less).encode()), f"a line without {key} passes"
        odd = {**good, "payload": {**good["payload"], key: {"an": "object"}}}
        assert lines.check_line(json.dumps(odd).encode()), f"{key} may be anything"


def test_what_is_not_known_is_null_and_a_plan_that_failed_is_none() -> None:
    with capture() as captured:
        with agent.run("coder"):
            with agent.plan():
                pass
            with pytest.raises(ValueError, match="x"), agent.plan(3):
                raise ValueError("x")
            with agent.step():
                pass
        (generated,) = payloads(captured, "plan.generated")
        (started,) = payloads(captured, "plan.step_started")
    assert generated == {"step_count": None, "reasoning_score": None, "selected_tools": [], "redacted_fields": []}
    assert started == {"index": 1, "tool": None, "description": None, "redacted_fields": []}


def test_what_an_event_is_told_is_redacted_and_cut() -> None:
    with capture() as captured:
        with agent.run("coder", task="t"):
            with agent.step(f"use {SECRET}", tool="t" * 5000) as step:
                step.result = "r " * 1015 + SECRET  # it begins within what is kept
            with agent.review() as review:
                review.feedback([SECRET, "c" * 5000], blocking_issues=SECRET)
            agent.profile(SECRET, "h" * 5000)
            with agent.state(SECRET):
                pass
        left = everything(captured)
        told = [line for line in captured.lines() if line.event in FIELDS]
    assert {name for name, text in left.items() if SECRET[:12] in text} == set()
    assert max(len(json.dumps(line.payload)) for line in told) < 5000
    (started,) = [line for line in told if line.event == "plan.step_started"]
    assert started.payload["redacted_fields"] == ["payload.description"]


# --- spans and metrics ------------------------------------------------------------------------------------------------


def test_the_blocks_are_the_tree(scene: Scene) -> None:
    with capture() as captured:
        with agent.run("coder"):
            with agent.plan():
                ask(scene)
            for _ in range(2):
                with agent.cycle():
                    with agent.step("edit"):
                        ask(scene)
                    with agent.step("test", tool="pytest"):
                        pass
                    with agent.review():
                        ask(scene)
        (root,) = roots(captured.spans())
        planned, (first, second) = one(captured, "plan coder"), named(captured, "agent.cycle")
        steps, reviews = named(captured, "agent.step"), named(captured, "agent.review")
        told = calls(captured.spans())
    assert below(root, [planned, first, second])
    assert below(planned, told[:1])
    assert below(first, [*steps[:2], reviews[0]])
    assert below(second, [*steps[2:], reviews[1]])
    assert [span.parent.span_id for span in told[1:] if span.parent] == [
        span_id(span) for span in (steps[0], reviews[0], steps[2], reviews[1])
    ]
    assert [of(span, semconv.CYCLE) for span in (planned, first, steps[0], second, steps[2])] == [None, 1, 1, 2, 2]
    assert [of(span, semconv.CYCLE) for span in told] == [1, 1, 1, 2, 2]
    assert [of(span, semconv.STEP_INDEX) for span in steps] == [1, 2, 1, 2]
    assert of(steps[1], semconv.TOOL_NAME) == "pytest"
    assert of(planned, semconv.OPERATION_NAME) == "plan"
    assert {of(span, semconv.OPERATION_NAME) for span in (first, steps[0], reviews[0])} == {None}
    assert {span.kind.name for span in (planned, first, steps[0], reviews[0])} == {"INTERNAL"}
    assert of(root, semconv.RUN_CYCLES) == 2
    assert trace_ids(captured.spans()) == trace_ids([root])


def test_the_ledger_has_the_same_spans(scene: Scene) -> None:
    with capture() as captured:
        everything_said()
        spans = {span_id(span): span for span in captured.spans()}
        told = [line.payload for line in captured.lines() if line.event == semconv.EVENT_SPAN_ENDED]
    assert {int(span["span_id"], 16) for span in told} == set(spans)
    for record in told:
        span = spans[int(record["span_id"], 16)]
        assert (span.name, span.start_time, span.end_time) == (
            record["name"],
            record["start_time_unix_nano"],
            record["end_time_unix_nano"],
        )
        assert {k: list(v) if isinstance(v, tuple) else v for k, v in (span.attributes or {}).items()} == record[
            "attributes"
        ]
        assert [(event.name, event.timestamp, dict(event.attributes or {})) for event in span.events] == [
            (event["name"], event["time_unix_nano"], event["attributes"]) for event in record["events"]
        ]


def test_a_state_is_an_event_of_the_span_that_is_current_and_two_metrics(scene: Scene) -> None:
    with capture() as captured:
        with agent.run("coder"), agent.cycle():
            for name in ("OBSERVE", "ACT", "ACT"):
                with agent.state(name):
                    ask(scene)
        cycle = one(captured, "agent.cycle")
        entries = {p.attributes[semconv.STATE]: p.value for p in captured.points(semconv.STATE_ENTRIES)}
        dwell = {p.attributes[semconv.STATE]: p.count for p in captured.points(semconv.STATE_DWELL)}
        assert below(cycle, calls(captured.spans()))
    assert [dict(event.attributes or {})[semconv.STATE] for event in cycle.events] == ["OBSERVE", "ACT", "ACT"]
    assert entries == dwell == {"OBSERVE": 1, "ACT": 2}


def test_a_state_in_somebody_elses_span_is_an_event_of_that() -> None:
    with capture() as captured:
        tracer = captured.tracer_provider.get_tracer("theirs")
        with agent.run("coder"), tracer.start_as_current_span("theirs"), agent.state("ACT"):
            pass
        assert [event.name for event in one(captured, "theirs").events] == ["agent.state.entered"]


class Foreign(NonRecordingSpan):
    """A span of another implementation, behind no guard of ours."""

    def __init__(self) -> None:
        super().__init__(SpanContext(1, 2, is_remote=False))
        self.told: list[Any] = []

    def is_recording(self) -> bool:
        return True

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        self.told.append((name, dict(attributes)))


def test_a_states_name_is_redacted_before_a_span_that_nobody_guards_has_it() -> None:
    foreign = Foreign()
    with capture(), agent.run("coder"), use_span(foreign), agent.state(f"use {SECRET}"):
        pass
    assert foreign.told == [("agent.state.entered", {semconv.STATE: "use REDACTED"})]


@pytest.mark.parametrize(("set_to", "label"), [(None, "ok"), ("skipped", "skipped"), ("quite good", "other")])
def test_the_status_of_a_step(set_to: str | None, label: str) -> None:
    with capture() as captured:
        with agent.run("coder"), agent.step() as step:
            step.status = set_to
        (point,) = captured.points(semconv.STEP_DURATION)
        (completed,) = payloads(captured, "plan.step_completed")
        told = of(one(captured, "agent.step"), semconv.STEP_STATUS)
    assert (told, completed["status"], point.attributes[semconv.STEP_STATUS]) == (set_to or "ok", set_to or "ok", label)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(ValueError("canary"), "error", "ERROR"), (asyncio.CancelledError(), "cancelled", "UNSET")],
)
def test_an_exception_passes_and_is_told(error: BaseException, status: str, code: str) -> None:
    with capture() as captured:
        with pytest.raises(type(error)), agent.run("coder"), agent.cycle(), agent.step():
            raise error
        step, cycle = one(captured, "agent.step"), one(captured, "agent.cycle")
        (completed,) = payloads(captured, "plan.step_completed")
        assert "canary" not in repr(everything(captured))
    assert completed["status"] == status
    for span in (step, cycle):
        assert span.status.status_code.name == code
        assert of(span, semconv.ERROR_TYPE) == ("ValueError" if code == "ERROR" else None)


def test_cycles_are_counted_whoever_counts_them(scene: Scene) -> None:
    with capture() as captured:
        chat_agent(scene)
        with agent.run("coder"):
            for _ in range(2):
                with agent.cycle():
                    ask(scene)
        captured.spans(roots=True)
        counted = {str(p.attributes[semconv.AGENT_NAME]): p.value for p in captured.points(semconv.CYCLES)}
        (timed,) = captured.points(semconv.CYCLE_DURATION)
    assert counted.pop("coder") == 2
    assert list(counted.values()) == [3]
    assert timed.count == 2


@pytest.mark.logs
def test_a_verdict_that_is_none_is_refused() -> None:
    verdict: Any = "splendid"
    with capture() as captured:
        with agent.run("coder"), agent.review() as review:
            review.decide(verdict)
        assert payloads(captured, "review.decision") == []


# --- without a run, and without instrumentation -----------------------------------------------------------------------


def test_blocks_without_a_run_are_one_tree(scene: Scene) -> None:
    with capture() as captured:
        with agent.cycle(), agent.step():
            ask(scene)
        ask(scene)
        agent.profile("fast")
        spans, told = captured.spans(roots=True), captured.lines()
    (root,) = roots(spans)
    cycle = next(span for span in spans if span.name == "agent.cycle")
    assert below(root, [cycle])
    assert run_ids(spans) == {of(root, semconv.RUN_ID)} == {line.run_id for line in told}
    assert of(root, semconv.RUN_IMPLICIT) is True
    assert len(trace_ids(spans)) == 1


def test_blocks_without_any_run_are_spans_of_their_own(monkeypatch: pytest.MonkeyPatch, scene: Scene) -> None:
    monkeypatch.setenv("OTEL_AGENT_IMPLICIT_RUN", "off")
    with capture() as captured:
        with agent.cycle(), agent.step(), agent.state("ACT"):
            ask(scene)
        spans = captured.spans(roots=True)
    step = next(span for span in spans if span.name == "agent.step")
    assert below(step, calls(spans))
    assert run_ids(spans) == {None}


def test_without_instrumentation_blocks_do_nothing() -> None:
    with agent.run("coder"), agent.cycle() as cycle, agent.plan(), agent.step(), agent.state("ACT"):
        with agent.review() as review:
            review.feedback("x")
            review.decide("accept")
        agent.profile("fast")
        agent.benchmark(1, 2)
    assert cycle.number == 0
    assert not Path("logs").exists()


# --- as decorators ----------------------------------------------------------------------------------------------------


def test_functions_keep_their_kind_their_name_and_their_result(scene: Scene) -> None:
    @agent.plan()
    def make() -> list[str]:
        """Make it."""
        return ["a", "b", "c"]

    @agent.step("edit")
    async def edit(word: str) -> str:
        await asyncio.sleep(0)
        return word * 2

    @agent.review()
    def judge() -> str:
        return "accept"

    @agent.state("ACT")
    def act(*args: int, key: int) -> tuple[Any, ...]:
        return (*args, key)

    with capture() as captured:
        with agent.run("coder"):
            assert (make(), judge(), act(1, 2, key=3)) == (["a", "b", "c"], "accept", (1, 2, 3))
            assert asyncio.run(edit("x")) == "xx"
        assert payloads(captured, "plan.generated")[0]["step_count"] == 3
        assert payloads(captured, "review.decision")[0]["decision"] == "accept"
        assert payloads(captured, "plan.step_started")[0]["description"] == "edit"
        assert below(roots(captured.spans())[0], named(captured, "agent.step"))
    assert (make.__name__, make.__doc__) == ("make", "Make it.")
    assert inspect.iscoroutinefunction(edit)
    assert str(inspect.signature(act)) == "(*args: 'int', key: 'int') -> 'tuple[Any, ...]'"


def test_a_generator_is_in_its_step_while_it_works_and_its_consumer_is_not(scene: Scene) -> None:
    @agent.step("produce")
    def produce(count: int) -> Iterator[Any]:
        sent = None
        for number in range(count):
            ask(scene, model="inside")
            try:
                sent = yield number, sent
            except KeyError as error:
                sent = repr(error)
        return "done"

    def consume() -> Iterator[Any]:
        assert inspect.isgeneratorfunction(produce)
        produced: Any = produce(4)
        yield next(produced)
        ask(scene, model="outside")
        yield produced.send("sent")
        yield produced.throw(KeyError("k"))
        ask(scene, model="outside")
        yield next(produced)
        try:
            next(produced)
        except StopIteration as stop:
            yield stop.value

    with capture() as captured:
        with agent.run("coder"):
            assert [*consume()] == [(0, None), (1, "sent"), (2, "KeyError('k')"), (3, None), "done"]
        (root,), step, told = roots(captured.spans()), one(captured, "agent.step"), calls(captured.spans())
    assert below(step, [call for call in told if of(call, semconv.REQUEST_MODEL) == "inside"])
    assert below(root, [call for call in told if of(call, semconv.REQUEST_MODEL) == "outside"])
    assert of(step, semconv.STEP_STATUS) == "ok"


@pytest.mark.parametrize("way", ["break", "close", "raise"])
def test_a_generator_that_is_left_ends_its_step(way: str) -> None:
    cleaned: list[str] = []

    @agent.step("produce")
    def produce() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            cleaned.append(way)

    with capture() as captured:
        with agent.run("coder"):
            if way == "break":
                for _ in produce():
                    break
            elif way == "close":
                produced: Any = produce()
                next(produced)
                produced.close()
            else:
                produced = produce()
                next(produced)
                with pytest.raises(ValueError, match="x"):
                    produced.throw(ValueError("x"))
        step = one(captured, "agent.step")
    assert cleaned == [way]
    assert of(step, semconv.STEP_STATUS) == ("error" if way == "raise" else "cancelled")


def test_an_async_generator_is_in_its_step_while_it_works_and_its_consumer_is_not(scene: Scene) -> None:
    @agent.step("produce")
    async def produce(client: Any) -> AsyncIterator[int]:
        for number in range(3):
            await client.chat.completions.create(**{**ASK, "model": "inside"})
            yield number

    async def main() -> list[int]:
        async with async_openai(scene.provider.url) as client, agent.run("coder"):
            got: list[int] = []
            produced: Any = produce(client)
            async for number in produced:
                await client.chat.completions.create(**{**ASK, "model": "outside"})
                got.append(number)
            left: Any = produce(client)
            await left.asend(None)
            await left.aclose()
            return got

    with capture() as captured:
        assert asyncio.run(main()) == [0, 1, 2]
        (root,), steps, told = roots(captured.spans()), named(captured, "agent.step"), calls(captured.spans())
    inside = [call for call in told if of(call, semconv.REQUEST_MODEL) == "inside"]
    assert below(root, [call for call in told if of(call, semconv.REQUEST_MODEL) == "outside"])
    assert below(steps[0], inside[:3])
    assert below(steps[1], inside[3:])
    assert [of(step, semconv.STEP_STATUS) for step in steps] == ["ok", "cancelled"]
    assert inspect.isasyncgenfunction(produce)
    assert cycles([]) == []
