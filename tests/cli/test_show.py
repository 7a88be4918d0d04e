# SPDX-License-Identifier: Apache-2.0
"""`otel-agent show` tells a run from its ledger alone, whatever is in it and wherever it goes to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ledger_lines import ATTEMPT, BEGAN, RUN, RUN_LINES, STOP, TOOLS, call, line, root, span, tokens, write
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.cli import main

LEDGER = Path("logs/telemetry")
FILE = LEDGER / f"{RUN}.jsonl"
CODE = "import sys; from otel_agent_instrumentation.cli import main; sys.exit(main())"
PROGRAM = [sys.executable, "-c", CODE, "show"]

SHOWN = """\
run 20261121T080000Z-aaaaaaaa · 2026-11-21 08:00:00 UTC · trace aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa

                                time   first     in  cached  out  reasoning
invoke_agent coder          1 m 02 s                                         error · ✗ InternalServerError · 2 cycles
├─ cycle 1                    2.15 s
│  ├─ chat gpt-5              900 ms  312 ms  1,412       0  188        128  stop
│  ├─ chat gpt-5              1.25 s            654     512  241             → edit, test · 1 retry (429)
│  └─ plan.generated                                                         steps=3
└─ cycle 2                   59.80 s
   ├─ chat claude-sonnet-5    300 ms  312 ms      9            1             stop
   └─ chat gpt-5             59.50 s                                         ✗ InternalServerError (500)
                                                                             stream never iterated

total                       1 m 02 s          2,075     512  430        128  4 calls · 1 retry · 1 error
  gpt-5                     1 m 02 s          2,066     512  429        128  3 calls · 1 retry · 1 error
  claude-sonnet-5             300 ms              9            1             1 call
"""


@pytest.fixture(autouse=True)
def columns(monkeypatch):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")


def show(*arguments: object) -> int:
    return main(["show", *map(str, arguments)])


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert show(*arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_shows_the_run_in_cycles_with_all_that_is_known(capsys):
    write(FILE, RUN_LINES)
    assert shown(capsys, FILE) == SHOWN


# --- which run -------------------------------------------------------------------------------------------------------


def test_finds_a_run_by_nothing_file_folder_id_and_its_beginning(capsys, monkeypatch):
    write(FILE, RUN_LINES)
    other = write(LEDGER / "z.jsonl", [root(1, run_id="z")])
    os.utime(other, (1, 1))
    by_file = shown(capsys, FILE)
    assert [shown(capsys, *how) for how in ((), (LEDGER,), (RUN,), (RUN[:6],))] == [by_file] * 4
    assert shown(capsys, "z").startswith("run z ")
    monkeypatch.setenv("OTEL_AGENT_LEDGER_DIR", "elsewhere")
    assert show() == 1
    assert "no run in elsewhere" in capsys.readouterr().err


def test_the_newest_run_is_one_that_has_calls(capsys):
    write(FILE, RUN_LINES)
    os.utime(FILE, (1, 1))
    write(LEDGER / "own.jsonl", [line("metrics.snapshot", {"metrics": []}, run_id="own")])
    assert shown(capsys).startswith(f"run {RUN} ")


def test_a_shared_file_shows_each_of_its_runs(capsys, monkeypatch):
    shared = write(Path("all.jsonl"), [root(1, run_id="a"), root(2, run_id="b")])
    assert re.findall(r"^run (\w+)", shown(capsys, shared), re.MULTILINE) == ["a", "b"]
    monkeypatch.setenv("OTEL_AGENT_LEDGER_PATH", str(shared))
    assert shown(capsys, "a").startswith("run a ")
    assert shown(capsys).startswith("run b ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no run in logs/telemetry"),
        (("nope",), "neither a file nor a run"),
        (("empty.jsonl",), "no line of it can be read"),
        (("garbage.jsonl",), "no line of it can be read"),
        (("quiet.jsonl",), "nothing to show"),
    ],
)
def test_says_what_it_did_not_find(arguments, said, capsys):
    write(Path("empty.jsonl"), [])
    write(Path("garbage.jsonl"), [b"\x1b[2Jgarbage\n"])
    write(Path("quiet.jsonl"), [line("resource", {"attributes": {}})])
    assert show(*arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


def test_a_file_that_cannot_be_read_is_no_traceback(capsys):
    done = subprocess.run([*PROGRAM, "/proc/self/mem"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (1, "", False)
    assert "/proc/self/mem" in done.stderr


@pytest.mark.parametrize("arguments", [["show", "--nope"], ["show", "a", "b"], ["nope"], []])
def test_wrong_usage_is_2(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage: otel-agent" in capsys.readouterr().err


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert not left.value.code
    out = capsys.readouterr().out
    assert "show" in out
    assert "doctor" in out


# --- what may be in a ledger -----------------------------------------------------------------------------------------


def test_torn_and_foreign_lines_are_left_out_and_counted(capsys):
    write(FILE, [RUN_LINES[0], b'{"torn":', b"\n", b"\0\0\0\n", *RUN_LINES[1:], b'{"schema_version":"1.0","run'])
    assert show(FILE) == 0
    out, err = capsys.readouterr()
    assert err == f"otel-agent: left out of {FILE.name}: 3 lines that cannot be read\n"
    assert "4 calls" in out


def test_the_files_of_other_processes_are_in_the_tree(capsys):
    write(FILE, RUN_LINES)
    write(LEDGER / f"{RUN}.77-{BEGAN}.jsonl", [call(9, at=(2300, 2400), cycle=2, model="worker", pid=77)])
    out = shown(capsys, FILE)
    assert "2 processes" in out
    assert re.search(r"chat worker +100 ms .*pid 77", out)
    assert out.index("claude-sonnet-5") < out.index("chat worker") < out.index("✗ InternalServerError (500)")


def test_other_peoples_spans_stand_under_their_parents_and_double_no_token(capsys):
    native = {semconv.OPERATION_NAME: semconv.CHAT, semconv.REQUEST_MODEL: "gpt-5", **tokens(10, 5)}
    write(
        FILE,
        [
            span("late", 5, 3, at=(3, 4), scope="some.http"),
            span("POST /v1", 4, 3, at=(2, 8), scope="some.http"),
            span("native chat", 3, 2, at=(1, 9), attributes=native, scope="some.sdk"),
            call(2, at=(0, 10), attributes=tokens(10, 5)),
            span("handler", 7, 99, at=(0, 12), scope="some.web"),
            root(20),
        ],
    )
    out = shown(capsys, FILE)
    rows = [re.split(r"  +\d", one)[0] for one in out.splitlines()[3:10]]
    assert rows == [
        "invoke_agent coder",
        "├─ cycle 1",
        "│  └─ chat gpt-5",
        "│     └─ native chat",
        "│        ├─ POST /v1",
        "│        └─ late",
        "└─ handler",
    ]
    assert "by some.http" in out
    assert re.search(r"^total +10 ms +10 +5 +1 call$", out, re.MULTILINE)


def test_without_an_end_the_calls_are_shown_all_the_same(capsys):
    write(FILE, [one for one in RUN_LINES if one["payload"].get("name") != "invoke_agent coder"])
    out = shown(capsys, FILE)
    assert re.search(r"run coder +1 m 02 s .* no end of the run is recorded", out)
    assert "4 calls" in out


def test_a_run_without_calls_says_so(capsys):
    write(FILE, [root(5)])
    assert "no model calls" in shown(capsys, FILE)


def test_spans_that_are_each_others_parents_are_shown_once(capsys):
    write(FILE, [span(f"s{n}", n, parent, at=(n, 100)) for n, parent in ((2, 3), (3, 4), (4, 2), (5, 4), (6, 6))])
    out = shown(capsys, FILE)
    assert sorted(re.findall(r"\bs\d", out)) == ["s2", "s3", "s4", "s5", "s6"]


def test_a_tree_of_any_depth_and_size_is_shown(capsys):
    deep = [span("deep", n, n - 1, at=(n, 9000)) for n in range(2, 2502)]
    write(FILE, [*deep, *(call(n, at=(n, n + 5), cycle=n % 50 + 1) for n in range(3000, 5500)), root(9000)])
    out = shown(capsys, FILE)
    assert (out.count("deep"), out.count("chat gpt-5")) == (2500, 2500)
    assert max(map(len, out.splitlines())) <= 120
    told = json.loads(shown(capsys, FILE, "--json"))
    assert max(one["depth"] for one in told["spans"]) == 2500


ANY: list[Any] = [None, True, -1, 1.5, 10**30, "", "\x1b[2J", [], [None, {}], {}, {"a": []}]


@pytest.mark.parametrize("value", ANY, ids=repr)
def test_no_value_of_a_payload_is_trusted(value, capsys):
    good = call(2, at=(0, 10), attributes={**STOP, **TOOLS, **tokens(1, 2, cached=3, reasoning=4)}, events=[ATTEMPT])
    lies = [{**good, "payload": {**good["payload"], key: value}} for key in good["payload"]]
    attributes = good["payload"]["attributes"]
    lies += [{**good, "payload": {**good["payload"], "attributes": {**attributes, key: value}}} for key in attributes]
    lies += [{**good, "payload": {**good["payload"], "events": [value]}}, {**good, "tags": value}]
    lies += [{**good, "time_unix_nano": value} for value in (0, 10**30)]
    for number, lie in enumerate(lies):
        write(FILE, [lie, line("x.y", {"z": value}), root(10)])
        assert show(FILE) in {0, 1}, number
        assert show(FILE, "--json") in {0, 1}, number
        assert "\x1b" not in capsys.readouterr().out


def test_hostile_text_is_text(capsys):
    bad = "\x1b]0;owned\x07\x1b[2J\r\n\x9b31m\u202egnp\u2066\u200b\x00"
    attributes = {
        semconv.REQUEST_MODEL: bad,
        semconv.RESPONSE_MODEL: bad,
        semconv.TOOL_CALL_NAMES: [bad],
        semconv.ERROR_TYPE: bad,
        semconv.STREAM_END: bad,
        semconv.AGENT_NAME: bad,
        semconv.RUN_OUTCOME: bad,
    }
    lines = [
        span(bad, 2, 1, attributes={semconv.OPERATION_NAME: "chat", **attributes}, scope=bad, trace="a" * 32),
        line(bad, {bad: bad}),
        span("invoke_agent", 1, attributes={**attributes, semconv.OPERATION_NAME: semconv.INVOKE_AGENT}),
    ]
    lines = [{**one, "run_id": bad} for one in lines]
    write(FILE, lines)
    for arguments in ((FILE,), (FILE, "--json"), (bad.replace("\0", ""),)):
        show(*arguments)
        out, err = capsys.readouterr()
        for character in set(out + err) - {"\n"}:
            assert character.isprintable(), repr(character)
    write(FILE, [{**one, "run_id": RUN} for one in lines])
    assert r"\x1b]0;owned\x07\x1b[2J\r\n\x9b31m\u202egnp\u2066\u200b" in shown(capsys, FILE)


def test_json_tells_the_same(capsys):
    write(FILE, RUN_LINES)
    told = json.loads(shown(capsys, FILE, "--json"))
    assert (told["run_id"], told["agent"], told["outcome"], told["cycles"]) == (RUN, "coder", "error", 2)
    assert told["total"] == {
        "calls": 4,
        "seconds": pytest.approx(61.95),
        "input": 2075,
        "cached": 512,
        "cache_write": None,
        "output": 430,
        "reasoning": 128,
        "cost_microusd": None,
        "retries": 1,
        "errors": 1,
    }
    assert [(one["depth"], one["name"]) for one in told["spans"]] == [
        (0, "invoke_agent coder"),
        (1, "cycle 1"),
        (2, "chat gpt-5"),
        (2, "chat gpt-5"),
        (2, "plan.generated"),
        (1, "cycle 2"),
        (2, "chat claude-sonnet-5"),
        (2, "chat gpt-5"),
    ]
    second = told["spans"][3]
    assert (second["tool_calls"], second["retries"], second["cached_tokens"]) == (["edit", "test"], 1, 512)
    assert told["spans"][7]["input_tokens"] is None
