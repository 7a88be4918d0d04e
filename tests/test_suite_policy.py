# SPDX-License-Identifier: Apache-2.0
"""The suite's own net holds: each thing that a test may leave or hide fails it, and no skip passes unexcused."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from suite_policy import ROOT, is_honest

OFFENDERS = """
import asyncio, logging, sys, types
import pytest
from opentelemetry import context, trace
from otel_agent_instrumentation.core import contain

def test_error_leaves_a_span_current():
    span = trace.NonRecordingSpan(trace.SpanContext(1, 1, is_remote=False))
    context.attach(trace.set_span_in_context(span))

def test_error_hides_a_fault():
    contain.call("site", int, "x")

def test_error_hides_a_warning_of_opentelemetry():
    logging.getLogger("opentelemetry.sdk.trace").warning("dropped")

def test_error_leaves_a_patch(monkeypatch):
    name = "otel_agent_instrumentation.core.patching"
    sys.modules[name] = types.SimpleNamespace(patched=lambda: ["openai.X"])

def test_passed_without_a_patch():
    sys.modules.pop("otel_agent_instrumentation.core.patching", None)

def test_failed_never_awaits():
    async def never(): ...
    never()

def test_failed_never_closes():
    open(__file__)

@pytest.mark.faults
def test_passed_expects_its_fault():
    contain.call("site", int, "x")

@pytest.mark.logs
def test_passed_expects_its_warning():
    logging.getLogger("opentelemetry.sdk.trace").warning("dropped")

def test_passed_leaves_nothing():
    pass

def test_skipped_for_no_reason():
    pytest.skip("slow")

def test_skipped_for_a_want():
    pytest.skip("needs: no-such-command")
"""


@pytest.fixture
def run(tmp_path):
    """Runs a test file under the suite's own configuration; returns the exit code and the output."""

    def run(source):
        file = tmp_path / "test_inner.py"
        file.write_text(source)
        path = os.pathsep.join(map(str, [ROOT / "tests", ROOT / "tests" / "tools"]))
        command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={tmp_path}"]
        done = subprocess.run(
            [*command, "-p", "conftest", "-rA", "--strict-skips", str(file)],
            env={**os.environ, "PYTHONPATH": path},
            check=False,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_what_a_test_leaves_or_hides_fails_it(run):
    _, output = run(OFFENDERS)
    names = re.findall(r"def (test_(passed|failed|error)_\w+)", OFFENDERS)
    found = {name: set(re.findall(rf"^([A-Z]+) \S*::{name}\b", output, re.MULTILINE)) for name, _ in names}
    # What fails at the teardown is reported as an error of a test that passed.
    wanted = {name: {"PASSED", "ERROR"} if word == "error" else {word.upper()} for name, word in names}
    assert found == wanted, output


def test_only_the_unexcused_skip_is_told(run):
    code, output = run(OFFENDERS)
    assert code == 1
    assert re.findall(r"could have run here: .*?::(\w+): (.*)", output) == [
        ("test_skipped_for_no_reason", "Skipped: slow")
    ]


def test_an_unexcused_skip_alone_fails_the_run(run):
    assert run("import pytest\ndef test_x(): pytest.skip('later')")[0] == 1
    assert run("import pytest\ndef test_x(): pytest.skip('needs: no-such-command')")[0] == 0


@pytest.mark.parametrize(
    ("reason", "row", "honest"),
    [
        ("Skipped: needs: no-such-command", "newest", True),
        ("Skipped: needs: python3", "newest", False),
        ("Skipped: needs: ../no-such-folder", "newest", True),
        (f"Skipped: needs: ../{ROOT.name}", "newest", False),
        ("Skipped: needs: package pytest>=1", "oldest", False),
        ("Skipped: needs: package pytest>=999", "oldest", True),
        ("Skipped: needs: package pytest>=999", "newest", False),
        ("Skipped: needs: package no-such-package", "oldest", True),
        ("Skipped: needs:", "oldest", False),
        ("could not import 'x'", "oldest", False),
    ],
)
def test_a_skip_is_honest_if_its_need_is_unmet(reason, row, honest):
    assert is_honest(reason, row) is honest


@pytest.mark.parametrize(
    ("ci", "go", "honest"), [("", "/bin/go", True), ("true", None, True), ("true", "/bin/go", False)]
)
def test_the_build_skips_no_end_to_end_test_that_it_could_run(monkeypatch, ci, go, honest):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr("suite_policy.shutil.which", lambda _: go)
    assert is_honest("Skipped: needs: e2e-tools (make e2e-tools builds them)", "newest") is honest
