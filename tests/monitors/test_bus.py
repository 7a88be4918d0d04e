# SPDX-License-Identifier: Apache-2.0
"""What an agent says on the event bus, by the document's names (P2): counted; what does not fit degrades (P7)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_instrumentation.core import contain
from otel_agent_instrumentation.monitors import facts

if TYPE_CHECKING:
    from otel_agent_instrumentation.monitors.performance import PerformanceMonitor

NOTHING_ODD = {"unmatched": 0, "doubled": 0, "malformed": 0}


def odd(monitor: PerformanceMonitor) -> dict[str, int]:
    return {key: count for key, count in monitor.get_metrics()["events"].items() if count}


def stamped(monitor: PerformanceMonitor, tool: str, seconds: float, end: str = "tool:end") -> None:
    """A call that took so long, as the agent's own events say."""
    monitor.bus.emit("tool:start", {"toolName": tool, "timestamp": 1_000_000})
    monitor.bus.emit(end, {"toolName": tool, "timestamp": 1_000_000 + seconds * 1000})


# --- tools -----------------------------------------------------------------------------------------------------------


def test_a_tool_is_counted_with_its_errors_and_durations(monitor):
    stamped(monitor, "search", 0.25)
    stamped(monitor, "search", 0.75, end="tool:error")
    told = monitor.get_tool_stats()["search"]
    assert (told["calls"], told["errors"], told["error_rate"], told["active"]) == (2, 1, 0.5, 0)
    assert (told["seconds"]["sum"], told["seconds"]["min"], told["seconds"]["max"]) == (1.0, 0.25, 0.75)
    assert odd(monitor) == {}


@pytest.mark.parametrize("key", ["toolName", "tool_name", "tool", "name"])
def test_a_tool_is_named_in_several_ways(monitor, key):
    monitor.bus.emit("tool:start", {key: "search"})
    assert monitor.get_tool_stats() == {}
    monitor.bus.emit("tool:end", {key: "search"})
    assert monitor.get_tool_stats()["search"]["calls"] == 1


def test_an_end_without_a_start_is_no_call(monitor):
    monitor.bus.emit("tool:end", {"toolName": "search"})
    monitor.bus.emit("tool:error", {"toolName": "search", "callId": "7"})
    monitor.bus.emit("tool:end", {})
    assert monitor.get_tool_stats() == {}
    assert odd(monitor) == {"unmatched": 3}


def test_a_start_without_an_end_is_active_and_no_call(monitor):
    stamped(monitor, "search", 0.1)
    monitor.bus.emit("tool:start", {"toolName": "search"})
    told = monitor.get_tool_stats()["search"]
    assert (told["calls"], told["active"]) == (1, 1)


def test_what_is_told_twice_counts_once(monitor):
    for event in ("tool:start", "tool:start", "tool:end", "tool:end", "tool:start"):
        monitor.bus.emit(event, {"toolName": "search", "callId": "7"})
    assert monitor.get_tool_stats()["search"]["calls"] == 1
    assert odd(monitor) == {"doubled": 3}


def test_an_error_ends_the_call_and_an_end_after_it_is_one_too_many(monitor):
    for event in ("tool:start", "tool:error", "tool:end"):
        monitor.bus.emit(event, {"toolName": "a"})
        monitor.bus.emit(event, {"toolName": "b", "callId": "b1"})
    told = monitor.get_tool_stats()
    assert [(one["calls"], one["errors"]) for one in told.values()] == [(1, 1), (1, 1)]
    assert odd(monitor) == {"unmatched": 1, "doubled": 1}


def test_calls_of_one_name_at_once_end_in_the_thread_that_they_began_in(monitor):
    barrier = threading.Barrier(8, timeout=30)

    def call(number: int) -> None:
        monitor.bus.emit("tool:start", {"toolName": "t", "timestamp": 1000 * number})
        barrier.wait()
        monitor.bus.emit("tool:end", {"toolName": "t", "timestamp": 1000 * number + 100})

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    told = monitor.get_tool_stats()["t"]
    assert told["calls"] == 8
    assert (told["seconds"]["min"], told["seconds"]["max"]) == (0.1, 0.1)
    assert odd(monitor) == {}


def test_a_tool_within_itself_ends_inside_out(monitor):
    bus = monitor.bus
    bus.emit("tool:start", {"toolName": "t", "timestamp": 0})
    bus.emit("tool:start", {"toolName": "t", "timestamp": 400})
    bus.emit("tool:end", {"toolName": "t", "timestamp": 500})
    bus.emit("tool:end", {"toolName": "t", "timestamp": 1000})
    told = monitor.get_tool_stats()["t"]["seconds"]
    assert (told["min"], told["max"]) == (0.1, 1.0)


def test_an_end_in_another_thread_ends_the_first_that_began(monitor):
    monitor.bus.emit("tool:start", {"toolName": "t"})
    thread = threading.Thread(target=lambda: monitor.bus.emit("tool:end", {"toolName": "t"}))
    thread.start()
    thread.join(30)
    assert monitor.get_tool_stats()["t"]["calls"] == 1


@pytest.mark.logs
@pytest.mark.parametrize("payload", [None, {}, {"toolName": None}, "search", 5, ["toolName"]])
def test_an_event_that_says_nothing_is_passed_over(monitor, payload):
    monitor.bus.emit("tool:start", payload)
    monitor.bus.emit("agent:state:change", payload)
    assert odd(monitor) == {"malformed": 2}
    assert monitor.get_tool_stats() == monitor.get_state_stats() == {}


def test_times_that_go_backwards_are_not_believed(monitor):
    monitor.bus.emit("tool:start", {"toolName": "t", "timestamp": 5000})
    monitor.bus.emit("tool:end", {"toolName": "t", "timestamp": 1000})
    assert 0 <= monitor.get_tool_stats()["t"]["seconds"]["max"] < 1


# --- requests to models ----------------------------------------------------------------------------------------------


def test_requests_are_matched_by_their_ids(monitor):
    bus = monitor.bus
    bus.emit("api:request:start", {"requestId": "a", "model": "m1", "timestamp": 0})
    bus.emit("api:request:start", {"requestId": "b", "model": "m2", "timestamp": 100})
    bus.emit("api:request:end", {"requestId": "a", "timestamp": 900, "usage": {"input_tokens": 7, "output_tokens": 2}})
    bus.emit("api:request:error", {"requestId": "b", "timestamp": 300, "error": "overloaded"})
    told = monitor.get_llm_stats()
    assert (told["requests"], told["errors"], told["seconds"]["count"]) == (2, 1, 2)
    one, two = told["models"]["m1"], told["models"]["m2"]
    assert (one["seconds"]["max"], two["seconds"]["max"]) == (0.9, 0.2)
    assert (one["tokens"]["input"], one["tokens"]["output"], two["errors"]) == (7, 2, 1)
    assert odd(monitor) == {}


@pytest.mark.parametrize(
    "usage",
    [
        {"usage": {"prompt_tokens": 7, "completion_tokens": 2}},
        {"usage": {"input_tokens": 7, "output_tokens": 2}},
        {"tokens": {"input": 7, "output": 2}},
        {"inputTokens": 7, "outputTokens": 2},
    ],
)
def test_tokens_are_told_in_several_ways(monitor, usage):
    monitor.bus.emit("api:request:start", {"requestId": "a"})
    monitor.bus.emit("api:request:end", {"requestId": "a", "model": "m", **usage})
    told = monitor.get_llm_stats()
    assert (told["tokens"]["input"], told["tokens"]["output"], told["without_usage"]) == (7, 2, 0)
    assert list(told["models"]) == ["m"]


def test_a_request_told_twice_has_its_tokens_once(monitor):
    for event in ("start", "start", "end", "end", "error"):
        monitor.bus.emit(f"api:request:{event}", {"requestId": "a", "model": "m", "tokens": {"input": 7, "output": 2}})
    told = monitor.get_llm_stats()
    assert (told["requests"], told["tokens"]["input"]) == (1, 7)
    assert odd(monitor) == {"doubled": 3}


@pytest.mark.parametrize("usage", [{"input": -1}, {"input": "many"}, {"input": float("nan")}, 7, None])
def test_an_unreadable_usage_is_none(monitor, usage):
    monitor.bus.emit("api:request:start", {"requestId": "a"})
    monitor.bus.emit("api:request:end", {"requestId": "a", "usage": usage})
    told = monitor.get_llm_stats()
    assert (told["requests"], told["without_usage"], told["tokens"]["input"]) == (1, 1, 0)


# --- states, artifacts, cycles ---------------------------------------------------------------------------------------


def test_states_are_entered_and_left(monitor):
    for state in ("OBSERVE", "ORIENT", "OBSERVE", "ACT"):
        monitor.bus.emit("agent:state:change", {"state": state})
    assert monitor.get_state_stats()["ACT"]["active"] == 1
    monitor.bus.emit("agent:state:exit", {"state": "ACT"})
    told = monitor.get_state_stats()
    assert {name: (one["entries"], one["exits"]) for name, one in told.items()} == {
        "OBSERVE": (2, 2),
        "ORIENT": (1, 1),
        "ACT": (1, 1),
    }
    assert odd(monitor) == {}


def test_agents_have_states_of_their_own(monitor):
    for agent in ("one", "two"):
        monitor.bus.emit("agent:state:change", {"agentId": agent, "state": "ACT"})
    assert monitor.get_state_stats()["ACT"]["active"] == 2
    monitor.bus.emit("agent:state:exit", {"agentId": "one"})
    assert monitor.get_state_stats()["ACT"]["exits"] == 1


def test_a_state_told_twice_and_an_exit_of_another_are_odd(monitor):
    for event, state in (("change", "ACT"), ("change", "ACT"), ("exit", "ORIENT"), ("exit", "ACT"), ("exit", "ACT")):
        monitor.bus.emit(f"agent:state:{event}", {"state": state})
    assert monitor.get_state_stats()["ACT"]["entries"] == monitor.get_state_stats()["ACT"]["exits"] == 1
    assert odd(monitor) == {"doubled": 1, "unmatched": 2}


def test_artifacts_count_once_a_path_and_cycles_each(monitor):
    for change, path in (("created", "a"), ("modified", "a"), ("modified", "a"), ("created", "b"), ("deleted", "b")):
        monitor.bus.emit(f"artifact:{change}", {"path": path})
    monitor.bus.emit("artifact:modified", {})
    for _ in range(3):
        monitor.bus.emit("cycle:start")
    session = monitor.get_metrics()["session"]
    assert session["artifacts"] == {"created": 2, "modified": 2, "deleted": 1}
    assert session["cycles"] == 3


# --- reset, end, bounds ----------------------------------------------------------------------------------------------


def everything(monitor: PerformanceMonitor, half: str, request: str = "x") -> None:
    """The first or the second half of one of each."""
    told = {"model": "x", "tokens": {"input": 5, "output": 5}}
    first = half == "first"
    monitor.bus.emit("tool:start" if first else "tool:end", {"toolName": "x"})
    monitor.bus.emit("api:request:start" if first else "api:request:end", {"requestId": request, **told})
    monitor.bus.emit("agent:state:change" if first else "agent:state:exit", {"state": "x"})
    if half == "second":
        monitor.bus.emit("artifact:created", {"path": "x"})
        monitor.bus.emit("cycle:start")


def counted(monitor: PerformanceMonitor) -> dict[str, Any]:
    """All but what is of this moment: clocks and memory."""
    told = monitor.get_metrics()
    del told["session"]["seconds"], told["session"]["began"], told["memory"]
    return told


@pytest.mark.parametrize("again", ["reset", "session:restart", "session:start", "persona:restart", "persona:start"])
def test_nothing_drifts_after_a_reset(monitor, again):
    empty = counted(monitor)
    everything(monitor, "first")
    everything(monitor, "second")
    everything(monitor, "first", "y")
    if again == "reset":
        monitor.reset()
    else:
        monitor.bus.emit(again)
    for event in ("tool:end", "api:request:end", "agent:state:exit"):
        monitor.bus.emit(event, {"toolName": "x", "requestId": "y", "state": "x", "tokens": {"input": 5}})
    assert counted(monitor) == empty
    # And it counts as if it had just begun.
    everything(monitor, "first")
    everything(monitor, "second")
    told = monitor.get_metrics()
    assert told["tools"]["x"]["calls"] == told["llm"]["requests"] == told["states"]["x"]["entries"] == 1
    assert told["llm"]["tokens"]["input"] == 5
    assert told["session"]["cycles"] == 1
    assert told["events"] == NOTHING_ODD


def test_what_is_returned_is_a_copy(monitor):
    everything(monitor, "first")
    everything(monitor, "second")
    told = monitor.get_metrics()
    before = repr(counted(monitor))
    told["tools"]["x"]["seconds"].clear()
    told["llm"]["models"]["x"]["tokens"]["input"] = 99
    told["states"].clear()
    told["session"]["artifacts"]["created"] = 99
    told["memory"]["recent"].append("x")
    told["alerts"].append("x")
    assert repr(counted(monitor)) == before


def test_after_the_end_nothing_is_heard_and_what_was_counted_stays(monitor):
    stamped(monitor, "t", 0.1)
    monitor.destroy()
    stamped(monitor, "t", 0.1)
    assert monitor.get_tool_stats()["t"]["calls"] == 1
    monitor.init()
    monitor.init()
    stamped(monitor, "t", 0.1)
    assert monitor.get_tool_stats()["t"]["calls"] == 2
    monitor.destroy()
    monitor.destroy()


class AgentsBus:
    """An event bus of an agent's own, without `off`."""

    def __init__(self) -> None:
        self.handlers: dict[str, list[Any]] = {}

    def on(self, name: str, handler: Any) -> None:
        self.handlers.setdefault(name, []).append(handler)

    def say(self, name: str, payload: Any) -> None:
        for handler in self.handlers.get(name, []):
            handler(payload)


def test_it_listens_to_an_agents_own_bus(monitor):
    bus = AgentsBus()
    monitor.init(bus)
    monitor.init(bus)
    for verb in ("start", "end"):
        bus.say(f"tool:{verb}", {"toolName": "t"})
    assert monitor.get_tool_stats()["t"]["calls"] == 1
    assert odd(monitor) == {}


def test_a_bus_that_cannot_be_unsubscribed_from_is_not_heard_after_the_end(monitor):
    bus = AgentsBus()
    monitor.init(bus)
    monitor.destroy()
    for verb in ("start", "end"):
        bus.say(f"tool:{verb}", {"toolName": "t"})
    assert monitor.get_tool_stats() == {}


@pytest.mark.faults
def test_a_handler_that_fails_costs_itself_the_event(monitor):
    heard: list[Any] = []
    monitor.bus.on("tool:start", lambda _: 1 / 0)
    monitor.bus.on("*", heard.append)
    monitor.bus.on("*", heard.append)
    monitor.bus.emit("tool:start", {"toolName": "t"})
    monitor.bus.emit("tool:end", {"toolName": "t"})
    assert monitor.get_tool_stats()["t"]["calls"] == 1
    assert [one["event"] for one in heard] == ["tool:start", "tool:end"]
    assert contain.faults() == {"bus.handler": 1}


def test_names_and_open_calls_are_bounded(monitor):
    for number in range(facts.MOST_NAMES + 50):
        stamped(monitor, f"tool {number} {'x' * 1000}", 0.1)
    told = monitor.get_tool_stats()
    assert len(told) == facts.MOST_NAMES + 1
    assert told[facts.OTHER]["calls"] == 50
    for number in range(20_000):
        monitor.bus.emit("tool:start", {"toolName": "never", "callId": str(number)})
        monitor.bus.emit("agent:state:change", {"agentId": str(number), "state": "ACT"})
    heard = monitor._heard
    assert sum(heard.tools.active().values()) <= 4096
    assert len(heard._states) <= 256
