# SPDX-License-Identifier: Apache-2.0
"""`OTEL_SDK_DISABLED=true`: no patch, no thread, no file, no word (O3)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

from otel_agent_instrumentation.testing.provider import Provider

pytestmark = pytest.mark.matrix

AGENT = """
    import json, logging, os, sys, threading
    HOW, URL = sys.argv[1:]
    if HOW == "code":
        import otel_agent_instrumentation
        otel_agent_instrumentation.instrument()
    import anthropic, openai
    from concurrent.futures import ThreadPoolExecutor
    import otel_agent_instrumentation as ours
    client = openai.OpenAI(base_url=URL + "/v1", api_key="k")
    chunks = list(client.chat.completions.create(model="m", stream=True, messages=[{"role": "user", "content": "x"}]))
    claude = anthropic.Anthropic(base_url=URL, api_key="k")
    claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}])
    with ours.run("agent", task="t"), ours.suppress():
        pass
    flushed = ours.flush()
    from opentelemetry import metrics, trace
    print(json.dumps({
        "chunks": len(chunks),
        "flushed": flushed,
        "wrapped": [
            f"{module.__name__}.{name}"
            for module in list(sys.modules.values())
            if getattr(module, "__name__", "").partition(".")[0] in ("openai", "anthropic", "threading", "concurrent")
            for name, thing in list(vars(module).items())
            for member in (thing, *(vars(thing).values() if issubclass(type(thing), type) else ()))
            if type(member).__name__ in ("Marked", "FunctionWrapper")
        ],
        "threads": [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()],
        "providers": [type(trace.get_tracer_provider()).__name__, type(metrics.get_meter_provider()).__name__],
        "handlers": len(logging.getLogger("otel_agent_instrumentation").handlers),
    }))
    ours.uninstrument()
"""


@pytest.mark.parametrize("how", ["code", "launcher"])
def test_nothing_at_all(how, tmp_path):
    agent = tmp_path / "agent.py"
    agent.write_text(textwrap.dedent(AGENT))
    folder = tmp_path / "work"
    folder.mkdir()
    launcher = [str(Path(sysconfig.get_path("scripts")) / "opentelemetry-instrument")] if how == "launcher" else []
    with Provider() as provider:
        done = subprocess.run(
            [*launcher, sys.executable, "-W", "error", str(agent), how, provider.url],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=folder,
            env={**_plain(), "OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        )
        assert done.returncode == 0, done.stderr
        assert all(received.header("traceparent") is None for received in provider.requests)
    told = json.loads(done.stdout)
    assert told.pop("chunks") > 1
    assert told.pop("flushed") is True
    providers = told.pop("providers")
    assert all(name.startswith(("Proxy", "_Proxy", "NoOp")) for name in providers), providers
    assert told == {"wrapped": [], "threads": [], "handlers": 0}
    assert done.stderr == ""
    assert list(folder.iterdir()) == []


def _plain() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ}
