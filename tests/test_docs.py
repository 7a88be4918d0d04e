# SPDX-License-Identifier: Apache-2.0
"""The documentation says what the code does: generated tables are fresh, examples hold, what is linked is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib

import openai
import pytest

from otel_agent_instrumentation import config, declared, semconv
from otel_agent_instrumentation.bootstrap.choices import choose
from otel_agent_instrumentation.envelope import schema
from otel_agent_instrumentation.redaction.policy import Policy
from otel_agent_instrumentation.testing import lines
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import Provider, openai_error
from suite_policy import ROOT

DOCS = ROOT / "docs"
PAGES = (
    "adding-an-integration",
    "commands-and-files",
    "configuration",
    "envelope",
    "events",
    "metrics",
    "performance-monitor",
    "runs",
    "safety",
)
INTEGRATION = ROOT / "src" / "otel_agent_instrumentation" / "integrations" / "groq.py"
SPAN_EVENTS = {semconv.EVENT_ATTEMPT}


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", page(name), re.DOTALL | re.MULTILINE)


def keys(name: str, heading: str) -> dict[str, str]:
    """The first column of the table below a heading, to the second; a cell may name several keys."""
    table = page(name).partition(f"{heading}\n")[2].partition("\n#")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| `")]
    return {key: row[1].strip() for row in rows for key in re.findall(r"`([^`]+)`", row[0])}


def test_the_generated_tables_are_fresh():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "docs.py", "--check"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_links_is_there(name):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page(name))
    assert [target for target in targets if "://" not in target and not (DOCS / target).exists()] == []


def test_a_line_is_told_key_by_key():
    told, document = keys("envelope", "## A line"), schema.load()
    assert set(told) == set(document["properties"])
    assert [key for key, always in told.items() if always] == document["required"]


def test_the_payload_of_a_span_is_told_key_by_key():
    assert set(keys("envelope", "### The payload of `span.ended`")) == set(schema.load()["$defs"]["span"]["properties"])


def test_every_event_is_told():
    assert set(keys("envelope", "## Events")) == set(declared.EVENTS) - SPAN_EVENTS


def test_the_example_keeps_the_schema():
    (example,) = blocks("envelope", "json")
    assert lines.check_line(example.encode()) == []
    attributes = json.loads(example)["payload"]["attributes"]
    assert [key for key in attributes if not declared.declared(key)] == []


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs: jq")
@pytest.mark.parametrize(("number", "shown"), [(0, '"calls": 2'), (1, "chat gpt-5\tBadRequestError")])
def test_the_questions_to_jq_are_answered(number, shown):
    with Provider() as provider, capture(only=["openai"]):
        client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0)
        client.chat.completions.create(model="gpt-5", messages=[])
        provider.reply = openai_error(400)
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="gpt-5", messages=[])
        client.close()
    question = blocks("envelope", "sh")[number]
    done = subprocess.run(["sh", "-c", question], check=True, capture_output=True, text=True)
    assert shown in done.stdout


def test_the_worked_integration_is_the_real_one():
    assert blocks("adding-an-integration", "python")[0] == INTEGRATION.read_text(encoding="utf-8")


def test_the_configuration_file_is_understood(tmp_path):
    (document,) = blocks("configuration", "toml")
    assert tomllib.loads(document)["agent"]
    (tmp_path / "otel-agent.toml").write_text(document)
    settings = config.load({})
    assert settings.warnings == ()
    assert (settings.agent_name, settings.disabled, settings.run_idle) == ("coder", ("anthropic",), 120)
    policy = Policy(settings=settings._replace(redaction_key="k"))
    text = "badge_number: Ab12cd34, TCK-123456, sort_token=a1B2c3D4e5F6g7H8i9J0, jo@example.org"
    told = "badge_number: REDACTED, TCK-REDACTED, sort_token=a1B2c3D4e5F6g7H8i9J0, jo@example.org"
    assert policy.text(text) == told


ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
NAMED = {"OTEL_TRACES_EXPORTER": "console", "OTEL_LOGS_EXPORTER": "console"}


@pytest.mark.parametrize(
    ("environ", "traces", "metrics", "ledger"),
    [
        ({}, (), (), True),
        (ENDPOINT, ("otlp",), ("otlp",), True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318"}, ("otlp",), (), True),
        (NAMED, ("console",), (), False),
        ({**NAMED, "OTEL_LOGS_EXPORTER": "console,agent_envelope"}, ("console",), (), True),
        ({"OTEL_METRICS_EXPORTER": "agent_envelope"}, (), ("agent_envelope",), True),
        ({"OTEL_AGENT_LEDGER": "false"}, (), (), False),
        ({**NAMED, "OTEL_AGENT_LEDGER": "true"}, ("console",), (), True),
    ],
)
def test_where_telemetry_goes_is_as_the_table_says(environ, traces, metrics, ledger):
    settings = config.load(environ)
    assert choose(settings, "traces").exporters == traces
    assert choose(settings, "metrics").exporters == metrics
    assert (choose(settings, "traces").ledger or choose(settings, "logs").ledger) is ledger
