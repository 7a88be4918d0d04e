# SPDX-License-Identifier: Apache-2.0
"""`otel-agent stats` adds up runs as their trees do, whatever is in the lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ledger_lines import BEGAN, RUN, RUN_LINES, call, line, root, span, tokens, write
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.cli import main

LEDGER = Path("logs/telemetry")
TOOL = {semconv.OPERATION_NAME: semconv.EXECUTE_TOOL, semconv.TOOL_NAME: "edit"}


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def sums(capsys, *arguments):
    assert main(["stats", "--json", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_sums_are_those_of_the_tree(capsys):
    write(LEDGER / f"{RUN}.jsonl", RUN_LINES)
    found = sums(capsys)
    assert main(["show", "--json"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert set(found["models"]) == set(tree["models"])
    for name, model in found["models"].items():
        shown = tree["models"][name]
        assert (model["count"], model["errors"], model["retries"]) == (
            shown["calls"],
            shown["errors"],
            # the tree also counts attempts that are span events
            max(shown["retries"], model["retries"]),
        )
        assert [model[f"{key}_tokens"] for key in ("input", "cached", "output", "reasoning")] == [
            shown[key] for key in ("input", "cached", "output", "reasoning")
        ]
        assert model["total_ms"] == pytest.approx(shown["seconds"] * 1000)
    assert found["runs"][RUN] == {
        "agent": "coder",
        "outcome": "error",
        "events": len(RUN_LINES),
        "started": tree["started"],
        "duration_ms": tree["duration_ms"],
    }
    assert found["events"] == {"span.ended": 5, "resource": 1, "plan.generated": 1}


def test_what_a_span_above_tells_is_not_counted_twice(capsys):
    # The framework's call, a plain span below it, the client's call; a tool seen by the client and by its server.
    nested = call(4, at=(10, 90), parent=3, attributes=tokens(5, 5))
    lines = [
        nested,
        span("POST", 3, 2, at=(5, 95)),
        call(2, at=(0, 100), attributes=tokens(5, 5)),
        span("tools/call edit", 6, 5, at=(20, 30), attributes=TOOL),
        span("tools/call edit", 5, 1, at=(10, 40), attributes=TOOL),
        call(8, at=(0, 1), parent=7, attributes=tokens(7, 7)),
        span("execute_tool ask", 7, 1, attributes={**TOOL, semconv.TOOL_NAME: "ask"}),
        root(200),
        call(9, at=(100, 101), parent=2, attributes=tokens(1, 1)),  # told after the call that it is below of
    ]
    found = sums(capsys, write(Path("x.jsonl"), lines))
    assert found["models"]["gpt-5"]["count"] == 2
    assert found["models"]["gpt-5"]["input_tokens"] == 12
    assert {name: tool["count"] for name, tool in found["tools"].items()} == {"edit": 1, "ask": 1}
    assert found["tools"]["edit"]["max_ms"] == 30


def test_quantiles_states_alerts_and_failures(capsys):
    lines = [
        span("t", 10 + n, 1, at=(0, n), attributes=TOOL, status="ERROR" if n > 98 else "UNSET") for n in range(1, 101)
    ]
    lines += [
        line(semconv.EVENT_STATE_ENTERED, {"state": "ACT"}),
        line(semconv.EVENT_STATE_EXITED, {"state": "ACT", "dwell_ms": 1500}, 1500),
        line(semconv.EVENT_ALERT, {"message": "slow"}),
        line("alert_resolved", {"message": "slow"}),
    ]
    found = sums(capsys, write(Path("x.jsonl"), lines))
    tool = found["tools"]["edit"]
    assert (tool["p50_ms"], tool["p95_ms"], tool["max_ms"], tool["errors"]) == (50, 95, 100, 2)
    assert found["states"] == {"ACT": {"entries": 1, "dwell_ms": 1500}}
    assert found["alerts"] == 1


def test_runs_are_told_apart_and_a_run_can_be_chosen(capsys):
    write(LEDGER / "a.jsonl", [{**one, "run_id": "a"} for one in [call(2, at=(0, 9)), root(10)]])
    write(LEDGER / "a.7-1.jsonl", [{**call(3, at=(0, 9)), "run_id": "a"}])
    write(LEDGER / "b.jsonl", [{**call(2, at=(0, 9)), "run_id": "b"}])
    assert {run: one["outcome"] for run, one in sums(capsys)["runs"].items()} == {"a": "ok", "b": None}
    assert set(sums(capsys, "b")["runs"]) == {"b"}
    assert sums(capsys, LEDGER / "a.jsonl")["models"]["gpt-5"]["count"] == 2


def test_odd_lines_are_taken_as_far_as_they_go(capsys):
    odd = span("x", 2, 1)
    odd["payload"]["attributes"] = "none"
    odd["payload"]["status"] = {"code": 7}
    huge = call(3, at=(0, 1), attributes={semconv.USAGE_INPUT_TOKENS: 10**30, semconv.USAGE_OUTPUT_TOKENS: True})
    lines = [b'{"torn', b"\xff\xfe\n", odd, huge, {"type": "old", "n": 1}, line("step", {"status": [1], "state": 5})]
    assert (
        main(["stats", str(write(Path("x.jsonl"), [one if isinstance(one, dict) else one + b"\n" for one in lines]))])
        == 0
    )
    out, err = capsys.readouterr()
    assert "gpt-5" in out
    assert "cannot be read" in err
    found = sums(capsys, "x.jsonl")
    assert found["models"]["gpt-5"]["input_tokens"] is None
    assert found["events"]["old"] == 1


def test_text_for_people(capsys):
    write(LEDGER / f"{RUN}.jsonl", RUN_LINES)
    assert main(["stats"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "1 run · 1 error · 7 events"
    assert [row.split() for row in out.splitlines() if row.startswith("gpt-5")] == [
        ["gpt-5", "3", "1", "1", "1.25", "s", "59.50", "s", "59.50", "s", "2,066", "512", "429", "128"]
    ]
    assert "\x1b" not in out


def test_a_run_without_an_end_is_unfinished(capsys):
    write(LEDGER / "a.jsonl", [call(2, at=(0, 9))])
    assert main(["stats"]) == 0
    assert "1 unfinished" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [(), ("nope",), ("empty.jsonl",), ("folder",)])
def test_nothing_found_is_1(arguments, capsys):
    write(Path("empty.jsonl"), [])
    Path("folder").mkdir()
    assert main(["stats", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("otel-agent: ")


def test_times_before_and_after_the_line_count(capsys):
    early = line("x", {}, 50)
    write(Path("x.jsonl"), [line("y", {}, 100), early, {**early, "time_unix_nano": None}])
    assert sums(capsys, "x.jsonl")["runs"][RUN]["duration_ms"] == 50
    assert early["time_unix_nano"] == BEGAN + 50_000_000
