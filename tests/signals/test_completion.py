# SPDX-License-Identifier: Apache-2.0
"""The completion hook: it is given what may leave, and whatever it does costs a completion, never a call."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import hooked_agent
from hooked_agent import SECRET
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.testing.provider import Provider, openai_chat

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.timeout(120)

AGENT = Path(hooked_agent.__file__)
HOOK = "OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK"
MODE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
MODULE = """
import dataclasses, json, os, time

class Recorder:
    def on_completion(self, *, inputs, outputs, system_instruction, tool_definitions=None, span=None, log_record=None):
        given = {"inputs": inputs, "outputs": outputs, "system": system_instruction, "tools": tool_definitions or []}
        told = {key: [dataclasses.asdict(item) for item in items] for key, items in given.items()}
        told["classes"] = [type(part).__name__ for item in inputs for part in item.parts]
        told["span"] = f"{span.get_span_context().span_id:016x}"
        with open(os.environ["RECORDED"], "a") as file:
            file.write(json.dumps(told) + "\\n")
        span.set_attribute("hooked", "with " + "SECRET")
        span.end()

class Raiser:
    def on_completion(self, **given):
        raise KeyError("SECRET")

class Leaver:
    def on_completion(self, **given):
        raise SystemExit

class Sleeper:
    def on_completion(self, **given):
        time.sleep(3600)

def broken():
    raise ValueError("SECRET")
""".replace("SECRET", SECRET)
Outcome = tuple[dict[str, Any], list[str]]


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Outcome]:
    """Run the agent with a package installed that has the hooks. What it printed, and the lines about the hook."""
    site = tmp_path / "site"
    info = site / "hooks-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hooks\nVersion: 1.0\n")
    points = "".join(
        f"{name.lower()} = hooks:{name}\n" for name in ("Recorder", "Raiser", "Leaver", "Sleeper", "broken")
    )
    (info / "entry_points.txt").write_text(f"[opentelemetry_genai_completion_hook]\n{points}")
    (site / "hooks.py").write_text(MODULE)

    def ask(hook: str, calls: int = 1, **environment: str) -> Outcome:
        path = os.pathsep.join((str(site), str(AGENT.parent)))
        with Provider(lambda _: openai_chat("Take it.")) as provider:
            done = subprocess.run(
                [sys.executable, str(AGENT), provider.url, str(calls)],
                env={**os.environ, "PYTHONPATH": path, HOOK: hook, "OTEL_AGENT_SUMMARY": "false", **environment},
                capture_output=True,
                text=True,
                check=False,
                timeout=100,
            )
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout), [line for line in done.stderr.splitlines() if "hook" in line.lower()]

    return ask


def lost(outcome: dict[str, Any], reason: str) -> int:
    """How many completions the metric counts as dropped for ``reason``."""
    points = [
        point
        for resource in json.loads(outcome["metrics"])["resource_metrics"]
        for scope in resource["scope_metrics"]
        for metric in scope["metrics"]
        if metric["name"] == semconv.TELEMETRY_DROPPED
        for point in metric["data"]["data_points"]
    ]
    wanted = {semconv.SIGNAL: "completions", semconv.EXPORTER: "hook", semconv.REASON: reason}
    return sum(point["value"] for point in points if point["attributes"] == wanted)


def test_it_is_given_what_may_leave_and_its_attributes_are_redacted(
    ask: Callable[..., Outcome], tmp_path: Path
) -> None:
    file = tmp_path / "recorded.jsonl"
    outcome, lines = ask("recorder", RECORDED=str(file), HOOKED_AGENT_UNTIL="set")
    assert lines == []
    text = file.read_text()
    assert SECRET not in text
    told = json.loads(text.splitlines()[-1])
    system, user, asked, answered = told["inputs"]
    assert system["parts"] == [{"type": "text", "content": "Be brief."}]
    assert user["role"] == "user"
    digest = {"sha256": hashlib.sha256(b"hello").hexdigest(), "size": 5, "mime_type": "image/png"}
    assert user["parts"] == [
        {"type": "text", "content": "my key is REDACTED"},
        {"type": "blob", "modality": "image", **digest},
    ]
    assert asked["parts"] == [{"type": "tool_call", "id": "c0", "name": "look", "arguments": "REDACTED"}]
    assert answered["parts"] == [{"type": "tool_call_response", "id": "c0", "response": "REDACTED"}]
    assert told["classes"] == [
        *("TextPart", "TextPart", "DigestPart"),
        *("ToolCallRequestPart", "ToolCallResponsePart"),
    ]
    (output,) = told["outputs"]
    assert (output["parts"], output["finish_reason"]) == ([{"type": "text", "content": "Take it."}], "stop")
    assert told["tools"][0]["name"] == "look"
    # Content is for the hook alone, and the hook's own words are looked at like any other.
    assert not {semconv.INPUT_MESSAGES, semconv.OUTPUT_MESSAGES} & set(outcome["span"])
    assert outcome["span"]["hooked"] == "with REDACTED"
    assert outcome["span"][semconv.REDACTED_FIELDS] == ["attributes.hooked"]
    assert "with REDACTED" in outcome["lines"]
    assert outcome["logs"] == []


@pytest.mark.parametrize(("hook", "kind"), [("raiser", "KeyError"), ("leaver", "SystemExit")])
def test_one_that_raises_costs_its_completions(ask: Callable[..., Outcome], hook: str, kind: str) -> None:
    outcome, lines = ask(hook, 5, HOOKED_AGENT_FLUSH="1")
    assert outcome["calls"] == 5
    (line,) = lines
    assert f"completion hook raised {kind}" in line
    assert lost(outcome, "error") == 5


def test_one_that_blocks_costs_completions_and_nobody_waits(ask: Callable[..., Outcome]) -> None:
    outcome, lines = ask("sleeper", 40)
    assert outcome["calls"] == 40
    assert outcome["slowest"] < 10  # seconds: it sleeps for an hour
    assert sum("is slower than the calls" in line for line in lines) == 1
    assert len(lines) <= 2
    assert lost(outcome, "queue_full") in {19, 20}  # 20 wait, and the hook may have taken one


@pytest.mark.parametrize(
    ("hook", "variables", "said"),
    [
        (
            "nobody",
            {},
            "=nobody is no entry point of opentelemetry_genai_completion_hook (there are: broken, leaver, ra",
        ),
        ("broken", {}, "=broken could not be made"),
        ("upload", {"HOOKED_AGENT_WITHOUT": "1"}, "=upload needs the package opentelemetry-util-genai"),
    ],
)
def test_one_that_is_not_there_is_one_warning(
    ask: Callable[..., Outcome], hook: str, variables: dict[str, str], said: str
) -> None:
    outcome, lines = ask(hook, 3, **variables)
    assert outcome["calls"] == 3
    assert len([line for line in lines if said in line]) == 1
    assert len([line for line in lines if HOOK in line]) == 1


def test_the_conventions_upload_writes_what_is_redacted_and_names_the_place(
    ask: Callable[..., Outcome], tmp_path: Path
) -> None:
    folder = tmp_path / "uploads"
    folder.mkdir()
    outcome, lines = ask(
        "upload",
        HOOKED_AGENT_UNTIL="set",
        OTEL_INSTRUMENTATION_GENAI_UPLOAD_BASE_PATH=str(folder),
        **{MODE: "EVENT_ONLY"},
    )
    assert lines == []
    names = {key: value for key, value in outcome["span"].items() if key.endswith("_ref")}
    assert set(names) == {f"{name}_ref" for name in (semconv.INPUT_MESSAGES, semconv.OUTPUT_MESSAGES)} | {
        f"{semconv.TOOL_DEFINITIONS}_ref"
    }
    assert names.items() <= outcome["logs"][-1].items()
    asked = json.loads(Path(names[f"{semconv.INPUT_MESSAGES}_ref"].removeprefix("file://")).read_text())
    assert asked[1]["parts"][0] == {"type": "text", "content": "my key is REDACTED"}
    assert SECRET not in "".join(file.read_text() for file in folder.iterdir())
