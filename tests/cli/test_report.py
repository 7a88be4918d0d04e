# SPDX-License-Identifier: Apache-2.0
"""`otel-agent report` writes one bounded, redacted file; `otel-agent serve` answers browsers."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from ledger_lines import BEGAN, RUN, RUN_LINES, call, line, root, span, write
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.cli import main
from stream_peers import BEARER, server

LEDGER = Path("logs/telemetry")


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def told(page):
    """What a report holds: its configuration and its events."""
    text = Path(page).read_text()
    config, packed = re.findall(r'<script type="[^"]+" id="(?:config|data)">(.*?)</script>', text)
    return json.loads(config), [json.loads(one) for one in gzip.decompress(base64.b64decode(packed)).splitlines()]


def test_every_event_is_in_it_by_time(capsys):
    lines = [*RUN_LINES, line("late", {"text": "</script>"}, 5)]
    write(LEDGER / f"{RUN}.jsonl", lines)
    assert main(["report", "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert (out["file"], out["events"], out["left_out"], out["texts_cut_at"]) == (f"{RUN}.html", len(lines), 0, None)
    assert out["bytes"] == Path(out["file"]).stat().st_size
    config, events = told(out["file"])
    assert (config["run_id"], config["jaeger"]) == (RUN, "")
    assert events == sorted(lines, key=lambda one: one["time_unix_nano"])


def test_what_others_wrote_is_redacted(capsys):
    write(LEDGER / f"{RUN}.jsonl", [line("shell", {"note": "mail jane.doe@example.com"}), root(5)])
    assert main(["report", "-o", "x.html"]) == 0
    _, events = told("x.html")
    assert "jane.doe" not in json.dumps(events)


def noise(length, seed):
    """Letters that cannot be packed."""
    made = hashlib.shake_128(str(seed).encode()).digest(length * 3 // 4)
    return re.sub("[^a-z]", "x", base64.b64encode(made).decode().lower())[:length]


def test_long_texts_are_cut_before_anything_is_left_out(capsys):
    write(LEDGER / f"{RUN}.jsonl", [span(f"s{n}", n + 2, 1, attributes={"t": noise(40_000, n)}) for n in range(150)])
    assert main(["report", "-o", "x.html"]) == 0
    config, events = told("x.html")
    assert (config["cut"], config["left_out"], len(events)) == (2000, 0, 150)
    assert Path("x.html").stat().st_size < 3_000_000
    assert events[0]["payload"]["attributes"]["t"].endswith("… (40,000 characters)")


def test_a_run_beyond_measure_keeps_its_end(capsys):
    pieces = {f"k{n}": noise(58, n) for n in range(40)}
    many = [
        line("x", {**pieces, "own": noise(58, n), **{f"x{m}": noise(30, (n, m)) for m in range(30)}}, n)
        for n in range(5000)
    ]
    write(LEDGER / f"{RUN}.jsonl", [*many, root(6000)])
    assert main(["report", "-o", "x.html"]) == 0
    config, events = told("x.html")
    assert config["left_out"] + len(events) == 5001
    assert 0 < config["left_out"] < 4500
    assert events[-1]["payload"]["name"] == "invoke_agent coder"
    assert Path("x.html").stat().st_size < 3_000_000
    assert "are left out" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["javascript:alert(1)", 'http://x/"onload', "localhost:16686", ""])
def test_only_a_web_address_is_jaegers(url, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["report", "--jaeger", url])
    assert ended.value.code == 2


def test_what_cannot_be_written_or_found_is_1(capsys):
    write(LEDGER / f"{RUN}.jsonl", RUN_LINES)
    assert main(["report", "-o", "no/such/x.html"]) == 1
    assert main(["report", "nope"]) == 1
    assert "Traceback" not in capsys.readouterr().err


def get(at, path, headers=BEARER):
    with urlopen(Request(f"http://127.0.0.1:{at.port}{path}", headers=headers), timeout=30) as answer:
        return answer, answer.read().decode()


def test_a_browser_is_answered_only_with_the_token(tmp_path):
    with server(tmp_path) as at:
        for path in ("/", "/runs"):
            with pytest.raises(HTTPError) as refused:
                get(at, path, {})
            assert refused.value.code == 401
            assert "script" not in refused.value.read().decode()
            refused.value.close()
        answer, page = get(at, "/")
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.startswith("<!doctype html>")
        with pytest.raises(HTTPError) as missing:
            get(at, "/nothing")
        assert missing.value.code == 404
        missing.value.close()


def test_the_runs_of_a_folder_the_last_begun_first(tmp_path):
    later = {"time_unix_nano": BEGAN + 10**10}
    write(tmp_path / "a.jsonl", [{**one, "run_id": "a"} for one in [call(2, at=(0, 9)), root(10)]])
    write(tmp_path / "a.7-1.jsonl", [{**call(3, at=(0, 9)), "run_id": "a"}])
    write(tmp_path / "empty.jsonl", [])
    write(tmp_path / "garbage.jsonl", [b"\x1b[2J\n"])
    with server(tmp_path) as at:
        first = {"run_id": "a", "agent": "coder", "outcome": "ok", "spans": True}
        assert [{key: run[key] for key in first} for run in json.loads(get(at, "/runs")[1])] == [first]
        file = write(tmp_path / "b.jsonl", [{**line("x", {}), "run_id": "b", "tags": ["t"], **later}])
        runs = json.loads(get(at, "/runs")[1])
        assert [(run["run_id"], run["outcome"], run["spans"]) for run in runs] == [("b", "", False), ("a", "ok", True)]
        filler = [{**line("x", {"text": "y" * 1000}), "run_id": "b", **later} for _ in range(200)]
        write(file, [*filler, {**root(5, "budget"), "run_id": "b", **later}])
        assert json.loads(get(at, "/runs")[1])[0]["outcome"] == "budget"


def test_a_run_whose_name_is_hostile_is_listed_as_it_is(tmp_path):
    write(tmp_path / "x.jsonl", [{**root(5), "run_id": "<img src=x>\x1b"}])
    with server(tmp_path) as at:
        assert [run["run_id"] for run in json.loads(get(at, "/runs")[1])] == ["<img src=x>\x1b"]


@pytest.mark.parametrize("command", ["stats", "diff", "show"])
def test_hostile_text_is_spelt_out_in_the_terminal(command, capsys):
    evil = "\x1b]0;t\x07\x1b[2J<b>\u202etxt"
    told = {semconv.OPERATION_NAME: semconv.EXECUTE_TOOL, semconv.TOOL_NAME: evil}
    lines = [
        span(evil, 2, 1, attributes=told | {semconv.ERROR_TYPE: evil}),
        call(3, at=(0, 1), model=evil),
        line(evil, {evil: evil, "text": "x" * 1_000_000}),
        line(semconv.EVENT_STATE_ENTERED, {"state": evil}),
        root(9, evil),
    ]
    write(LEDGER / "a.jsonl", [{**one, "run_id": "a"} for one in lines])
    write(LEDGER / "b.jsonl", [{**root(9, evil), "run_id": "b"}])
    assert main([command, "a", *(["b"] if command == "diff" else [])]) in (0, 1)
    out, err = capsys.readouterr()
    assert "\\x1b" in out
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out + err)
    assert max(map(len, out.splitlines())) < 1000
