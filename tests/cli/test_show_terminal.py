# SPDX-License-Identifier: Apache-2.0
"""`otel-agent show` fits the terminal, the pipe and the encoding that it writes to."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from ledger_lines import RUN, RUN_LINES, call, root, write
from otel_agent_instrumentation.cli import main

FILE = Path("logs/telemetry") / f"{RUN}.jsonl"
CODE = "import sys; from otel_agent_instrumentation.cli import main; sys.exit(main())"
PROGRAM = [sys.executable, "-c", CODE, "show"]


@pytest.fixture(autouse=True)
def columns(monkeypatch):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["show", *map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_no_line_is_wider_than_the_terminal(capsys, monkeypatch):
    write(FILE, RUN_LINES)
    for columns in range(48, 140, 4):
        monkeypatch.setenv("COLUMNS", str(columns))
        out = shown(capsys, FILE)
        assert max(map(len, out.splitlines())) <= columns, out
        for told in ("→ edit, test", "1 retry (429)", "InternalServerError", "128", "512", "stream never iterated"):
            assert squeezed(told) in squeezed(out), out


def squeezed(text: str) -> str:
    """Without what wrapping adds."""
    return re.sub(r"[\s│]+", "", text)


def test_wide_characters_keep_the_columns(capsys):
    name = "日本語モデル"
    write(FILE, [call(2, at=(0, 10), model=name), call(3, at=(10, 20)), root(30)])
    first, second = [one for one in shown(capsys, FILE).splitlines() if " 10 ms" in one and "chat" in one]

    def column(text: str) -> int:
        before = text[: text.index(" 10 ms")]
        return sum(2 if unicodedata.east_asian_width(c) == "W" else 1 for c in before)

    assert name in first
    assert column(first) == column(second)


def on_terminal(*arguments: str, **variables: str) -> str:
    """What the program writes to a terminal of its own."""
    outer, inner = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **variables}
    process = subprocess.Popen([*PROGRAM, str(FILE), *arguments], stdout=inner, stderr=inner, env=environment)
    os.close(inner)
    data = b""
    try:
        while chunk := os.read(outer, 65536):
            data += chunk
    except OSError:
        pass  # Linux says so at the end of a terminal
    os.close(outer)
    assert process.wait(timeout=30) == 0
    return data.decode()


def test_colours_are_for_terminals_alone_and_only_where_wanted(capsys):
    write(FILE, RUN_LINES)
    assert "\x1b[" not in shown(capsys, FILE)
    coloured, *plain = (
        on_terminal(),
        on_terminal("--no-color"),
        on_terminal(NO_COLOR="1"),
        on_terminal(TERM="dumb"),
        on_terminal("--json"),
    )
    assert "\x1b[31merror\x1b[0m" in coloured
    assert not any("\x1b" in one for one in plain)
    # Colours change nothing but the colours.
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain[0]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_encoding_without_boxes_gets_plain_ones(encoding):
    name = "naïve 日本"
    write(FILE, [call(2, at=(0, 10), model=name), root(10)])
    done = subprocess.run(
        [*PROGRAM, str(FILE)], check=True, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}
    )
    out = done.stdout.decode(encoding)
    assert "`- cycle 1" in out
    assert ("na\\xefve" if encoding == "ascii" else "naïve") in out
    assert "\\u65e5" in out


def test_a_reader_that_leaves_early_is_no_error():
    write(FILE, RUN_LINES)
    process = subprocess.Popen([*PROGRAM, str(FILE)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()  # long before anything is written
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=30) == 0


def test_reads_without_opentelemetry():
    write(FILE, RUN_LINES)
    code = (
        "import sys; from otel_agent_instrumentation.cli import main; main(['show'])\n"
        "print([name for name in sys.modules if name.split('.')[0] in {'opentelemetry', 'wrapt', 'grpc'}])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.endswith("\n[]\n")
