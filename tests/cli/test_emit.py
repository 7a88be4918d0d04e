# SPDX-License-Identifier: Apache-2.0
"""Events from shells: the command, the function for POSIX shells and the script for PowerShell write the same line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_agent_instrumentation import run
from otel_agent_instrumentation.envelope import categories
from otel_agent_instrumentation.testing import lines
from otel_agent_instrumentation.testing.capture import capture
from suite_policy import ROOT

SHELLS = ROOT / "src" / "otel_agent_instrumentation" / "shells"
SCRIPT = SHELLS / "emit_event.sh"
POWERSHELL = (SHELLS / "emit_event.ps1").read_text(encoding="utf-8")
DOCUMENT = ROOT.parent / "shared" / "seeds" / "real-time-logging-system.md"
EMIT_EVENT = Path(sys.executable).with_name("emit-event")
TIMES = {"timestamp", "time_unix_nano", "unix", "pid"}
_ALL = {
    "dash": ["dash", "-c", f'. "{SCRIPT}"; emit_event "$@"', "dash"],
    "bash": ["bash", "-euo", "pipefail", "-c", f'. "{SCRIPT}"; emit_event "$@"', "bash"],
    "otel-agent": [
        sys.executable,
        "-c",
        "import sys; from otel_agent_instrumentation.cli import main; sys.exit(main())",
        "emit",
    ],
    "emit-event": [str(EMIT_EVENT)],
}
COMMANDS = {name: command for name, command in _ALL.items() if shutil.which(command[0])}
CASES: dict[str, list[str]] = {
    "plain": ["health_check", "status=HEALTHY", "confidence:=0.786", "ok:=true", "--session-id", "s-1"],
    "ids": ["task_started", "--task-id=t", "goal=g", "--persona-id", "p", "none:=null", "n:=-12"],
    "alert": ["alert_triggered", "severity=ERROR", "message=silent"],
    "grave": ["task_failed", "error=x"],
    "unknown": ["my.own", "a=1"],
    "source": ["review.note", "n:=3"],
    "secret": ["system_startup", "password=of-mine-1234", "tokens_used:=5"],
    "hostile": [
        'x"y\\z',
        'a=b"c\\d',
        "newline=one\ntwo\ttab\rreturn\x01\x1f\x7f",
        "dollar=$(touch hacked)`touch hacked`$HOME",
        "percent=%s%n%d",
        "quote='; touch hacked; '",
        "utf=\u00fc \u20ac \U0001f600 \u2028",
        'key with "quotes"=v',
        "eq=a=b=c",
        'json:={"not": "taken"}',
        "large:=123456789012345678901234567890",
        "redacted_fields=mine",
        'bracket=]},{"seq":1}',
    ],
}


def emitted(name: str, arguments: list[str], folder: Path, **environ: str) -> list[dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "AGI_", "TRACEPARENT"))}
    done = subprocess.run(
        [*COMMANDS[name], *arguments],
        cwd=folder,
        env={**clean, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (folder / "hacked").exists()
    (file,) = folder.rglob("*.jsonl")
    assert lines.check_file(file) == []
    assert file.stat().st_mode & 0o777 == 0o600
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def timeless(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in TIMES}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_all_write_the_same_lines(case, tmp_path):
    written = {name: [*map(timeless, emitted(name, case, tmp_path / name))] for name in COMMANDS}
    assert len(written) >= 3
    first, *others = written.values()
    assert [line["event"] for line in first] == ["resource", case[0]]
    for other in others:
        assert other == first


@pytest.mark.parametrize("name", COMMANDS)
def test_lines_follow_each_other_and_a_torn_one_is_ended(name, tmp_path):
    assert len(emitted(name, ["a", "n:=1"], tmp_path)) == 2
    assert len(emitted(name, ["a", "n:=2"], tmp_path)) == 3
    (file,) = tmp_path.rglob("*.jsonl")
    with file.open("ab") as end:
        end.write(b'{"torn')
    with pytest.raises(AssertionError):  # the torn line is none
        emitted(name, ["a", "n:=3"], tmp_path)
    kept = file.read_bytes().splitlines()
    assert (kept[3], json.loads(kept[4])["payload"]["n"]) == (b'{"torn', 3)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_of_a_run_tells_it_in_that_run(name, tmp_path, monkeypatch):
    (tmp_path / "ledger").mkdir()
    monkeypatch.setenv("OTEL_AGENT_LEDGER_DIR", str(tmp_path / "ledger"))
    command = [*COMMANDS[name], "eval", "quality:=0.5"]
    with capture() as captured, run("coder \u00fc", task='a, "tags": {', session="s", tags={"k": 'v"}'}):
        subprocess.run(command, check=True, timeout=60)
        inside = {line.run_id: line for line in captured.lines(tmp_path / "ledger") if line.event != "resource"}
    (file,) = (tmp_path / "ledger").glob("*.0-0.jsonl")
    (line,) = [one for one in map(json.loads, file.read_bytes().splitlines()) if one["event"] == "eval"]
    (run_id,) = inside
    assert (line["run_id"], line["source"]) == (run_id, "coder \u00fc")
    assert line["tags"] == {
        "agent": "coder \u00fc",
        "task": 'a, "tags": {',
        "session_id": "s",
        "k": 'v"}',
        "category": "lifecycle",
    }
    assert line["trace_id"] == inside[run_id].trace_id
    assert lines.check_folder(tmp_path / "ledger") == []


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("variable", ["AGI_LEDGER_PATH", "OTEL_AGENT_LEDGER_PATH"])
def test_one_file_for_all_is_taken_where_it_is_named(name, variable, tmp_path):
    path = tmp_path / "memory" / "ledger.jsonl"
    emitted(name, ["a"], tmp_path, **{variable: str(path)})
    assert path.exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_ledger_that_cannot_be_written_is_told_and_fails_nobody(name, tmp_path):
    (tmp_path / "logs").write_text("in the way")
    done = subprocess.run([*COMMANDS[name], "a"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert "otel-agent: the event cannot be written" in done.stderr
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "victim")
    environ = {**os.environ, "AGI_LEDGER_PATH": str(tmp_path / "link.jsonl")}
    subprocess.run([*COMMANDS[name], "a"], cwd=tmp_path, env=environ, check=True, timeout=60, capture_output=True)
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize("name", ["dash", "otel-agent"])
def test_processes_at_once_write_whole_lines(name, tmp_path):
    command = [*COMMANDS[name], "a", f"text={'x' * 20_000}"]
    processes = [subprocess.Popen(command, cwd=tmp_path) for _ in range(8)]
    assert [process.wait(60) for process in processes] == [0] * 8
    (file,) = tmp_path.rglob("*.jsonl")
    assert [json.loads(line)["event"] for line in file.read_bytes().splitlines()].count("a") == 8


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--payload", "[]"], ["a", "--payload", "{"]])
def test_what_is_no_event_is_said(arguments):
    done = subprocess.run([str(EMIT_EVENT), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr


@pytest.mark.parametrize(("shell", "script"), [("sh", SCRIPT.read_text(encoding="utf-8")), ("powershell", POWERSHELL)])
def test_the_command_prints_the_functions(shell, script):
    done = subprocess.run([str(EMIT_EVENT), "--script", shell], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == script


def test_the_scripts_know_all_categories():
    text = "".join(
        re.findall(r'^        "(.*)"', SCRIPT.read_text(encoding="utf-8").partition("groups() {")[2], re.MULTILINE)
    )
    words = text.split()
    known = {row.name: row.group for row in categories.BUILTIN}
    assert dict(zip(words[1::2], words[::2], strict=True)) == known
    table = POWERSHELL.partition("$groups = @{")[2].partition("\n}")[0]
    assert dict(re.findall(r'^    "?([\w.]+)"? = "(\w+)"', table, re.MULTILINE)) == known
    grave = {row.name: row.severity for row in categories.BUILTIN if row.severity != "info"}
    assert dict(re.findall(r"(\w+) = \"(\w+)\"", re.search(r"\$grave = @\{(.*)\}", POWERSHELL)[1])) == grave  # pyright: ignore[reportOptionalSubscript]


# There is no PowerShell on the machines of the suite: the script's template is checked as far as that goes without one.


def test_the_powershell_script_writes_the_keys_of_a_line_in_order():
    block = POWERSHELL.partition("$line = [ordered]@{")[2].partition("\n    }")[0]
    keys = re.findall(r"^        (\w+) = ", block, re.MULTILINE) + re.findall(r'\$line\["(\w+)"\] = ', POWERSHELL)
    (line,) = emitted("otel-agent", ["a"], Path("one"))[1:]
    assert [key for key in keys if key not in {"trace_id", "span_id"}] == list(line)


def test_the_powershell_script_closes_what_it_opens():
    code = re.sub(r"<#.*?#>|#[^\n]*", "", POWERSHELL, flags=re.DOTALL)
    code = re.sub(r"\"(?:`.|\$\(.*?\)|[^\"])*\"|'[^']*'", "S", code)
    closing, open_ = {")": "(", "}": "{", "]": "["}, []
    for character in code:
        if character in closing.values():
            open_.append(character)
        elif character in closing:
            assert open_.pop() == closing[character]
    assert open_ == []


@pytest.mark.shared
def test_every_powershell_call_of_the_document_fits_the_script():
    declared = {name.lower() for name in re.findall(r"\]\$(\w+)", POWERSHELL.partition("\n)")[0])}
    text = DOCUMENT.read_text(encoding="utf-8")
    calls = re.findall(r'emit_event\.ps1"? (-EventType "?\w+"?(?:\s|`|.)*?(?:\}(?: -\w+ \$\w+)?))\s*(?:\n|$)', text)
    assert len(calls) >= 8
    for call in calls:
        outside = re.sub(r"@\{.*?\}", "", call, flags=re.DOTALL)
        assert {name.lower() for name in re.findall(r"-([A-Z]\w+)", outside)} <= declared
