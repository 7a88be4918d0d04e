# SPDX-License-Identifier: Apache-2.0
"""`otel-agent redact`: what would go and by which rule, without the secret; the text; an old ledger scrubbed."""

from __future__ import annotations

import io
import json
import random
import stat
import sys
from types import SimpleNamespace

import pytest

import planted
from otel_agent_instrumentation.cli import main

KEY = planted.SECRETS["anthropic"](random.Random(1))  # noqa: S311 - made up
MAIL = "jane.doe@" + "corp-example.com"
TEXT = f"first\nuse {KEY}, or\nwrite to {MAIL}: password=hunter2x\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text(TEXT)
    return path


def test_where_and_which_rule_but_not_what(file, capsys):
    assert main(["redact", str(file)]) == 0
    told = capsys.readouterr().out
    assert f"{file}:2:5: anthropic, {len(KEY)} characters" in told
    assert f"{file}:3:10: email, {len(MAIL)} characters" in told
    assert "3:" in told
    assert "3 values would be replaced, by 3 rules" in told
    assert KEY not in told
    assert MAIL not in told
    assert "hunter2x" not in told


def test_standard_input_and_check(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(TEXT.encode())))
    assert main(["redact", "--check"]) == 1
    assert "<stdin>:2:5: anthropic" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"nothing here")))
    assert main(["redact", "--check"]) == 0
    assert capsys.readouterr().out == "nothing would be replaced\n"


def test_the_text(file, capfdbinary):
    file.write_bytes(TEXT.encode() + b"\xff\xfe")
    assert main(["redact", "--text", str(file)]) == 0
    told = b"first\nuse REDACTED, or\nwrite to REDACTED: password=REDACTED\n\xff\xfe"
    assert capfdbinary.readouterr().out == told


def test_settings_hold(file, capsys, monkeypatch, tmp_path):
    (tmp_path / "otel-agent.toml").write_text(
        '[agent]\nredaction_off = ["email"]\n'
        '[redaction]\nkeys = ["employee"]\nplain_keys = ["password"]\n'
        '[[redaction.rules]]\nid = "ticket"\npattern = "TCK-[0-9]{4}"\nstarts = ["TCK-"]\n'
    )
    file.write_text(TEXT + "employee: Ab12cd34ef see TCK-1234\n")
    assert main(["redact", str(file)]) == 0
    told = capsys.readouterr().out
    assert "email" not in told
    assert ":3:" not in told
    assert ":4:11: key" in told
    assert ":4:26: ticket, 8 characters" in told


def test_the_rules_are_listed(capsys, monkeypatch):
    monkeypatch.setenv("OTEL_AGENT_REDACTION_OFF", "card")
    assert main(["redact", "--rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.split()[2] in {"card", "email", "mac"}] == ["on", "off", "off"]
    assert all("https://" in line for line in lines)


def test_an_old_ledger_is_scrubbed(tmp_path, capsys):
    clean = '{"event":"a.b","payload":{"n":1,"redacted_fields":[]},"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}'
    lines = [
        clean,
        json.dumps(
            {"event": "c.d", "payload": {"text": f"use {KEY}", "password": "x", "redacted_fields": ["payload.z"]}}
        ),
        f'{{"torn": "use {KEY}',
        "",
    ]
    ledger = tmp_path / "run.jsonl"
    ledger.write_text("\n".join(lines))
    assert main(["redact", "--scrub", str(ledger), str(ledger)]) == 0
    written = ledger.read_text().split("\n")
    assert written[0] == clean
    payload = json.loads(written[1])["payload"]
    assert payload == {
        "text": "use REDACTED",
        "password": "REDACTED",
        "redacted_fields": ["payload.password", "payload.text", "payload.z"],
    }
    assert written[2] == '{"torn": "use REDACTED'
    assert written[3:] == [""]
    assert stat.S_IMODE(ledger.stat().st_mode) == 0o600
    assert "3 lines written" in capsys.readouterr().out
    assert list(tmp_path.glob(".*")) == []


def test_a_file_that_is_not_there(capsys):
    assert main(["redact", "nowhere.txt"]) == 2
    assert "nowhere.txt: No such file" in capsys.readouterr().err
