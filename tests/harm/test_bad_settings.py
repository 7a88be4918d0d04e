# SPDX-License-Identifier: Apache-2.0
"""Every setting broken in turn (O4): one warning that names its place, the default, and an agent that runs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from otel_agent_instrumentation import config
from otel_agent_instrumentation.testing.provider import Provider

pytestmark = pytest.mark.matrix

BOOLEAN = ("maybe", "2", "truefalse", "☃")
NUMBER = ("abc", "-1", "0", "nan", "inf", "1e400", "9" * 30, "9" * 5000, "0x10", "1,5")
WORD = ("everything", "1.42", "☃")
BAD: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "sdk_disabled",
            "implicit_run",
            "ledger",
            "sigterm",
            "summary",
            "guard_all",
            "log_records",
            "metrics_anonymous",
        ),
        BOOLEAN,
    ),
    **dict.fromkeys(("run_idle", "exit_timeout", "content_limit", "queue_bytes", "loop_calls"), NUMBER),
    **dict.fromkeys(("bsp_delay_ms", "bsp_queue", "bsp_batch", "blrp_delay_ms", "blrp_queue", "blrp_batch"), NUMBER),
    **dict.fromkeys(("metric_interval_ms", "timeout", "traces_timeout", "logs_timeout", "metrics_timeout"), NUMBER),
    **dict.fromkeys(("monitor_tool_seconds", "monitor_model_seconds", "monitor_memory_interval"), NUMBER),
    **dict.fromkeys(("monitor_memory_bytes", "monitor_spike", "monitor_error_rate"), NUMBER),
    "prometheus_port": NUMBER,
    "semconv": WORD,
    "content": WORD,
    "ledger_tcp": ("localhost", "localhost:", ":4000", "host:name", "host:0", "host:70000", "☃"),
    "redaction_mode": WORD,
    "redaction_engine": WORD,
    **dict.fromkeys(("commands", "files", "cost", "ledger_durability"), WORD),
    **dict.fromkeys(("ledger_async", "ledger_compress", "ledger_chain", "monitor"), BOOLEAN),
    **dict.fromkeys(("ledger_buffer_events", "ledger_flush_interval", "ledger_rotate_seconds"), NUMBER),
    **dict.fromkeys(("ledger_rotate_bytes", "ledger_keep_files", "ledger_keep_days", "ledger_keep_bytes"), NUMBER),
    "log_level": WORD,
}
# Any text is a name or a list of names: what cannot be had is told where it is looked for, see below.
FREE = {
    *("disabled", "agent_name", "ledger_dir", "ledger_path", "service_name", "id_generator"),
    *(f"{signal}_{what}" for signal in ("traces", "logs", "metrics") for what in ("exporter", "endpoint", "protocol")),
    *("endpoint", "protocol"),
    *("prometheus_host", "metrics_token", "metrics_token_file", "metrics_basic", "metrics_cert", "metrics_key"),
    *("redaction_off", "redaction_on", "redaction_key", "redaction_key_file", "price_file", "completion_hook"),
    "stream_token",
    "monitor_export",
}
DEFAULTS = config.defaults()
TRIED = [option for option in config.OPTIONS if option.name in BAD]


def values(settings: config.Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in DEFAULTS}


def test_every_setting_is_tried():
    assert {option.name for option in config.OPTIONS} == {*BAD} | FREE


@pytest.mark.parametrize("option", TRIED, ids=lambda option: option.name)
def test_a_bad_variable_is_one_warning_and_the_default(option):
    for bad in BAD[option.name]:
        settings = config.load({option.env[0]: bad})
        (warning,) = settings.warnings
        assert option.env[0] in warning
        assert "ignored" in warning
        assert bad not in warning or len(bad) == 1  # a secret may stand in the wrong place
        assert values(settings) == DEFAULTS


@pytest.mark.parametrize("option", TRIED, ids=lambda option: option.name)
def test_a_bad_key_is_one_warning_and_the_default(option, tmp_path):
    file = tmp_path / "settings.toml"
    for bad in BAD[option.name]:
        file.write_text(f'[agent]\n{option.name} = "{bad}"\n')
        settings = config.load({"OTEL_AGENT_CONFIG": str(file)})
        (warning,) = settings.warnings
        assert f"agent.{option.name}" in warning
        assert str(file) in warning
        assert values(settings) == DEFAULTS


FILES = {
    "broken": ("[agent\nname =", "cannot be used"),
    "binary": ("\x00\xff", "cannot be used"),
    "deep": ("[agent]\nx = " + "[" * 5000, "cannot be used"),
    "no redaction": ("redaction = 5\n", "section `redaction` is ignored"),
    "redaction key": ("[redaction]\nrule = 5\n", "`redaction.rule`"),
    "redaction value": ("[redaction]\nallow = 5\n", "section `redaction` is ignored"),
    "redaction mode": ("[redaction.modes]\nemail = 'gone'\n", "section `redaction` is ignored"),
    "redaction rule": ("[[redaction.rules]]\npattern = 'x'\n", "section `redaction` is ignored"),
    "no table": ('agent = "x"\n', "must be a table"),
    "unknown key": ("[agent]\ncontnet = true\n", "`agent.contnet`"),
    "unknown section": ("[agnet]\nsummary = false\n", "`agnet`"),
    "outside": ("summary = false\n", "`summary`"),
    "table for a value": ("[agent.agent_name]\nx = 1\n", "agent.agent_name"),
    "list for a value": ('[agent]\nagent_name = ["a", "b"]\n', "agent.agent_name"),
    "date for a number": ("[agent]\nrun_idle = 2026-11-21\n", "agent.run_idle"),
}


@pytest.mark.parametrize(("text", "told"), FILES.values(), ids=FILES)
def test_a_broken_file_is_one_warning_and_the_defaults(text, told, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(text, encoding="latin-1")
    settings = config.load({"OTEL_AGENT_CONFIG": str(file)})
    (warning,) = settings.warnings
    assert told in warning
    assert str(file) in warning
    assert values(settings) == DEFAULTS


def test_a_file_that_is_not_there_is_one_warning(tmp_path):
    settings = config.load({"OTEL_AGENT_CONFIG": str(tmp_path / "none.toml")})
    assert len(settings.warnings) == 1
    settings = config.load({"OTEL_AGENT_CONFIG": str(tmp_path)})
    assert len(settings.warnings) == 1
    assert values(settings) == DEFAULTS


def test_a_bad_variable_leaves_what_the_file_says(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("[agent]\nrun_idle = 7\ndisabled = ['groq', 'openai']\nsummary = false\n")
    settings = config.load({"OTEL_AGENT_CONFIG": str(file), "OTEL_AGENT_RUN_IDLE": "soon"})
    assert len(settings.warnings) == 1
    assert (settings.run_idle, settings.disabled, settings.summary) == (7.0, ("groq", "openai"), False)


# --- in a process of its own: what is told is told once, and the agent runs -----------------------------------------

AGENT = """
import sys
import otel_agent_instrumentation as ours
ours.instrument()
ours.instrument()
import openai
client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="k")
for _ in range(2):
    print(client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}]).id)
"""
TOLD = {
    "everything": ({option.env[0]: BAD[option.name][0] for option in config.OPTIONS if option.name in BAD}, len(BAD)),
    "integration": ({"OTEL_AGENT_DISABLED": "opneai"}, 1),
    "exporter": ({"OTEL_TRACES_EXPORTER": "carrier_pigeon"}, 1),
    "protocol": (
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "pigeon", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9"},
        1,
    ),
    "endpoint": ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://[::1"}, 1),
    "ids": ({"OTEL_PYTHON_ID_GENERATOR": "dice"}, 1),
    "ledger folder": ({"OTEL_AGENT_LEDGER_DIR": "agent.py"}, 1),
    "ledger file": ({"OTEL_AGENT_LEDGER_PATH": "."}, 1),
    "file": ({"OTEL_AGENT_CONFIG": "agent.py"}, 1),
    "huge": ({"OTEL_BSP_SCHEDULE_DELAY": "999999999999", "OTEL_METRIC_EXPORT_INTERVAL": "999999999999"}, 0),
}


@pytest.mark.parametrize(("environment", "count"), TOLD.values(), ids=TOLD)
def test_the_agent_runs_and_each_fault_is_told_once(environment, count, tmp_path):
    (tmp_path / "agent.py").write_text(AGENT)
    with Provider() as provider:
        done = subprocess.run(
            [sys.executable, "-W", "error", "agent.py", provider.url],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "OTEL_AGENT_SUMMARY": "false", **environment},
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["chatcmpl-1"] * 2
    lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("otel-agent: 0 ")]
    warnings = [line for line in lines if not line.startswith(("otel-agent: 7 events", "otel-agent: 8 events"))]
    assert len(warnings) == count, done.stderr
    assert all(line.startswith("otel-agent: ") for line in warnings), done.stderr
    assert "internal fault" not in done.stderr
    assert "Traceback" not in done.stderr
