# SPDX-License-Identifier: Apache-2.0
"""Integrations that other installed packages bring, by the entry-point group `otel_agent_integration`."""

from __future__ import annotations

import os
import subprocess
import sys
from textwrap import dedent

import pytest

CLIENT = "def ask(question):\n    return {'model': 'acme-1', 'tokens': len(question)}\n"
CONTRIBUTED = """
from otel_agent_instrumentation.core.engine import sync_wrapper
from otel_agent_instrumentation.core.patching import Integration, Seam
from otel_agent_instrumentation.core.spec import Api, Request, Response, Usage


def read_request(body, request):
    request.model = "acme-1"


def read_response(answer):
    return Response(model=answer["model"], usage=Usage(input=answer["tokens"]))


ASK = Api("chat", read_request, read_response)


def begin(instance, args, kwargs):
    request = Request(ASK.operation, "acme", body=args)
    ASK.request(args, request)
    return ASK, request


def finish(engine, call, answer):
    call.response = ASK.response(answer)
    engine.end(call)
    return answer


INTEGRATION = Integration("acme_llm", "acme-llm", (Seam("acme_llm", "ask", sync_wrapper("acme_llm", begin, finish)),))
"""
PROGRAM = """
import sys
from otel_agent_instrumentation.core import contain
from otel_agent_instrumentation.testing.capture import capture

with capture() as captured:
    early = "otel_agent_acme" in sys.modules
    import acme_llm, groq
    late = "otel_agent_acme" in sys.modules
    assert acme_llm.ask("hello") == {"model": "acme-1", "tokens": 5}
    print(early, late, [span.name for span in captured.spans()], captured.tokens(), list(contain.faults()))
print(type(acme_llm.ask).__name__)
"""


@pytest.fixture
def play(tmp_path):
    """Run the program with a package installed that contributes the integration ``name``."""

    def play(name: str = "acme_llm", code: str = CONTRIBUTED, **environment: str) -> tuple[list[str], str]:
        site = tmp_path / "site"
        info = site / "otel_agent_acme-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: otel-agent-acme\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[otel_agent_integration]\n{name} = otel_agent_acme:INTEGRATION\n")
        (site / "otel_agent_acme.py").write_text(code)
        (site / "acme_llm.py").write_text(CLIENT)
        done = subprocess.run(
            [sys.executable, "-c", dedent(PROGRAM)],
            env={**os.environ, "PYTHONPATH": str(site), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines(), done.stderr

    return play


def test_is_loaded_with_its_client_and_not_before(play):
    told, stderr = play()
    assert told == ["False True ['chat acme-1'] {'input': 5} []", "function"]
    assert stderr == ""


def test_can_be_disabled_by_its_name(play):
    told, _ = play(OTEL_AGENT_DISABLED="acme_llm")
    assert told == ["False False [] {} []", "function"]


@pytest.mark.parametrize("code", ["1 / 0", "", "INTEGRATION = 'no integration'"], ids=["raises", "empty", "other"])
def test_one_that_is_broken_costs_itself_alone(play, code):
    (told, kind), stderr = play(code=code)
    assert "[] {} ['" in told
    assert kind == "function"
    assert "otel-agent: internal fault at " in stderr


def test_ours_cannot_be_replaced(play):
    told, _ = play(name="groq")
    assert told == ["False False [] {} []", "function"]
