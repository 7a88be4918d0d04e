# SPDX-License-Identifier: Apache-2.0
"""`otel-agent diff` tells what two runs did differently, and what it cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ledger_lines import RUN, RUN_LINES, call, root, span, tokens, write
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.cli import main

LEDGER = Path("logs/telemetry")


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def tool(name, number, at, **keys):
    told = {semconv.OPERATION_NAME: semconv.EXECUTE_TOOL, semconv.TOOL_NAME: name}
    return span(f"execute_tool {name}", number, 1, at=at, attributes=told, cycle=1, **keys)


def run_of(run_id, *lines):
    write(LEDGER / f"{run_id}.jsonl", [{**one, "run_id": run_id} for one in lines])


def first_and_second():
    chat = call(2, at=(0, 10), attributes=tokens(100, 10) | {semconv.COST_MICROUSD: 2000})
    run_of("one", chat, tool("edit", 3, (10, 20)), tool("test", 4, (20, 30)), root(1000))
    dear = call(2, at=(0, 40), attributes=tokens(150, 10) | {semconv.COST_MICROUSD: 3000})
    run_of("two", dear, tool("search", 5, (10, 20)), tool("edit", 3, (20, 30)), tool("test", 4, (40, 50)), root(1500))


def test_the_same_steps_are_0_whatever_they_took(capsys):
    write(LEDGER / f"{RUN}.jsonl", RUN_LINES)
    assert main(["diff", RUN, RUN]) == 0
    assert "both did the same" in capsys.readouterr().out


def test_a_step_of_one_run_alone_is_marked_and_the_rest_lines_up(capsys):
    first_and_second()
    assert main(["diff", "one", "two"]) == 1
    out = capsys.readouterr().out
    assert [row[2:].strip() for row in out.splitlines() if row.startswith("+")] == ["execute_tool search · 10 ms"]
    assert not [row for row in out.splitlines() if row.startswith("-")]
    assert [row.split() for row in out.splitlines() if row.startswith(("input", "cost", "time"))] == [
        ["time", "1.00", "s", "1.50", "s", "+50%"],
        ["input", "100", "150", "+50%"],
        ["cost", "$0.0020", "$0.0030", "+50%"],
    ]


def test_what_both_did_between_differences_lines_up(capsys):
    names = {"one": ["a", "edit", "test", "b"], "two": ["c", "edit", "test", "d", "e"]}
    for run_id, tools in names.items():
        run_of(run_id, *[tool(name, 2 + n, (n, n + 1)) for n, name in enumerate(tools)], root(9))
    assert main(["diff", "one", "two"]) == 1
    rows = [row for row in capsys.readouterr().out.splitlines() if "execute_tool" in row]
    assert [f"{row[0]}{row.partition('execute_tool ')[2].partition(' ')[0]}" for row in rows] == [
        *("-a", "+c", " edit", " test", "-b", "+d", "+e")
    ]


def test_as_json(capsys):
    first_and_second()
    assert main(["diff", "--json", "two", "one"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [(step["only_in"], step["name"]) for step in told["steps"]] == [("first", "execute_tool search")]
    assert (told["first"]["total"]["input"], told["second"]["total"]["input"]) == (150, 100)
    assert told["first"]["total"]["cost_microusd"] == 3000


def test_a_failure_is_a_difference(capsys):
    run_of("good", tool("edit", 3, (0, 1)), root(10))
    run_of("bad", tool("edit", 3, (0, 1), status="ERROR"), root(10))
    assert main(["diff", "good", "bad"]) == 1
    signs = [row[0] for row in capsys.readouterr().out.splitlines() if "execute_tool" in row]
    assert signs == ["-", "+"]


def test_another_outcome_alone_is_a_difference(capsys):
    run_of("good", tool("edit", 3, (0, 1)), root(10))
    run_of("cut", tool("edit", 3, (0, 1)), root(10, "budget"))
    assert main(["diff", "good", "cut"]) == 1


def test_many_steps_are_compared_in_time(capsys):
    # Far more than can be aligned: what stands at both ends is, the rest is told as it is.
    many = [tool("edit", 10 + n, (n, n + 1)) for n in range(4000)]
    run_of("long", *many, root(5000))
    run_of("longer", *[tool("plan", 5, (0, 1)), *many, tool("end", 6, (4500, 4600))], root(5000))
    assert main(["diff", "long", "longer"]) == 1
    rows = [row for row in capsys.readouterr().out.splitlines() if row.startswith(("+", "-"))]
    assert len(rows) == 4000 + 4002


@pytest.mark.parametrize("arguments", [("one", "nope"), ("nope", "one"), ("/", "one")])
def test_a_run_that_is_not_there_is_2(arguments, capsys):
    run_of("one", root(10))
    assert main(["diff", *arguments]) == 2
    assert capsys.readouterr().out == ""
