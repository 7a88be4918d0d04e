# SPDX-License-Identifier: Apache-2.0
"""`otel-agent export` writes tables that other programs read back."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from ledger_lines import RUN, RUN_LINES, call, line, root, span, write
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.cli import main

LEDGER = Path("logs/telemetry")


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def exported(*arguments):
    assert main(["export", *arguments, "-o", "out.csv"]) == 0
    return list(csv.DictReader(io.StringIO(Path("out.csv").read_text())))


def test_a_row_for_each_span(capsys):
    write(LEDGER / f"{RUN}.jsonl", RUN_LINES)
    rows = exported()
    assert [(row["kind"], row["name"], row["input_tokens"], row["error"]) for row in rows] == [
        ("run", "invoke_agent coder", "", "InternalServerError"),
        ("call", "chat gpt-5", "1412", ""),
        ("call", "chat gpt-5", "654", ""),
        ("call", "chat claude-sonnet-5", "9", ""),
        ("call", "chat gpt-5", "", "InternalServerError"),
    ]
    assert rows[2]["tool_calls"] == "edit test"
    assert rows[1]["duration_ms"] == "900.0"
    assert json.loads(rows[1]["attributes"])[semconv.REQUEST_MODEL] == "gpt-5"


def test_a_row_for_each_event(capsys):
    write(LEDGER / f"{RUN}.jsonl", RUN_LINES)
    rows = exported("--events")
    assert len(rows) == len(RUN_LINES)
    assert json.loads(next(row for row in rows if row["event"] == "plan.generated")["payload"])["steps"] == 3


def test_json_lines_on_stdout(capfd):
    write(LEDGER / "a.jsonl", [{**one, "run_id": "a"} for one in RUN_LINES])
    write(LEDGER / "b.jsonl", [{**root(5), "run_id": "b"}])
    assert main(["export", "--json"]) == 0
    rows = [json.loads(row) for row in capfd.readouterr().out.splitlines()]
    assert {row["run_id"] for row in rows} == {"a", "b"}


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_no_formula_reaches_a_spreadsheet(name, capsys):
    write(LEDGER / f"{RUN}.jsonl", [span(name, 2, 1), root(5)])
    assert f"'{name}" in [row["name"] for row in exported()]


def test_odd_text_is_one_cell(capsys):
    before = csv.field_size_limit(2_000_000)
    name = 'a,"b"\n\x00 <script>\u202e'
    lines = [span(name, 2, 1, attributes={"x": "y" * 1_000_000}), line("x", {"t": name}, 3), root(5)]
    write(LEDGER / f"{RUN}.jsonl", lines)
    assert len(exported()) == 2
    assert len(exported("--events")) == 3
    csv.field_size_limit(before)


def test_parquet(capsys):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs: package pyarrow")
    huge = call(9, at=(1, 2), attributes={semconv.USAGE_INPUT_TOKENS: 10**30})
    write(LEDGER / f"{RUN}.jsonl", [*RUN_LINES, huge])
    assert main(["export", "-o", "out.parquet"]) == 0
    rows = parquet.read_table("out.parquet").to_pylist()
    assert [row["input_tokens"] for row in rows if row["kind"] == "call"] == [1412, None, 654, 9, None]
    assert main(["export", "--format", "parquet"]) == 2


def test_parquet_without_pyarrow_says_what_to_do(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["export", "--format", "parquet", "-o", "x"]) == 2
    assert "[parquet]" in capsys.readouterr().err


def test_what_cannot_be_written_is_1(capsys):
    write(LEDGER / f"{RUN}.jsonl", RUN_LINES)
    assert main(["export", "-o", "no/such/folder.csv"]) == 1
    assert "no/such/folder.csv" in capsys.readouterr().err
    assert main(["export", "nope"]) == 1
