# SPDX-License-Identifier: Apache-2.0
"""`otel-agent doctor` as a person runs it: real processes, in a folder of their own, all well or not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from otel_agent_instrumentation import config
from otel_agent_instrumentation.testing.otlp_sink import OtlpSink

BIN = Path(sys.executable).parent
NO_CLIENTS = {"OTEL_AGENT_DISABLED": "openai,anthropic,groq"}  # three seconds less, where no client is what is tested
SECRET = "s3cr3t-of-the-test-0123456789"


def doctor(*arguments: str, before: str = "", command: Any = None, **env: str):
    """Run doctor; ``before``: Python that runs in the same process first."""
    code = f"{before}\nimport sys\nfrom otel_agent_instrumentation import cli\nsys.exit(cli.main(sys.argv[1:]))"
    return subprocess.run(
        [*(command or [sys.executable, "-c", code]), "doctor", *arguments],
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **env},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def findings(text: str, name: str) -> list[tuple[str, str]]:
    """The marks and texts of one section of the JSON report."""
    (section,) = [section for section in json.loads(text)["sections"] if section["name"] == name]
    return [(finding["mark"], finding["text"]) for finding in section["findings"]]


def free_port() -> int:
    with OtlpSink() as sink:
        return sink.port


@pytest.mark.matrix
def test_where_all_is_well_it_says_so_and_leaves_nothing_behind(tmp_path):
    done = doctor(OTEL_PYTHON_DISTRO="agent", OTEL_PYTHON_CONFIGURATOR="agent")
    assert done.returncode == 0, done.stdout
    assert "problem " not in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].startswith("All is well")
    has_responses = Version(metadata.version("openai")) >= Version("1.66")
    for client, calls in (("openai", 10 if has_responses else 7), ("anthropic", 3), ("groq", 3)):
        assert f"{client} {metadata.version(client)} (tested:" in done.stdout
        assert f"ok      {client}: {calls} calls of its APIs" in done.stdout
        assert re.search(rf"ok +{client}: \d+ of \d+ places patched", done.stdout)
    assert "NOT redacted" not in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_its_calls_reach_neither_the_users_exporters_nor_the_ledger(tmp_path):
    with OtlpSink() as sink:
        proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
        done = doctor("--json", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, **proxy)
        assert done.returncode == 0, done.stdout
        assert sink.requests == []
    assert any(mark == "ok" and "accepts connections" in text for mark, text in findings(done.stdout, "exporters"))
    assert [mark for mark, _ in findings(done.stdout, "self_test")] == ["ok"] * 3
    assert not (tmp_path / "logs").exists()


def test_under_the_launcher_it_calls_nobody_as_the_calls_would_be_exported():
    with OtlpSink() as sink:
        command = [str(BIN / "opentelemetry-instrument"), str(BIN / "otel-agent")]
        done = doctor("--json", command=command, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        assert sink.spans() == []
        assert sink.logs() == []
    assert done.returncode == 0, done.stdout
    ((mark, text),) = findings(done.stdout, "self_test")
    assert mark == "warning"
    assert "instrumented already" in text
    assert re.search(r"openai: (\d+) of \1 places patched", done.stdout)


def test_an_endpoint_that_nobody_listens_at_is_a_problem():
    url = f"http://127.0.0.1:{free_port()}"
    done = doctor("--no-self-test", OTEL_EXPORTER_OTLP_ENDPOINT=url, **NO_CLIENTS)
    assert done.returncode == 1
    assert f"problem {url} (traces, logs, metrics) cannot be reached: Connection refused" in done.stdout
    assert "to mend: start the collector" in done.stdout


def test_a_ledger_folder_that_cannot_be_written_is_a_problem(tmp_path):
    (tmp_path / "file").touch()
    done = doctor("--no-self-test", OTEL_AGENT_LEDGER_DIR="file/ledger", **NO_CLIENTS)
    assert done.returncode == 1
    assert f"problem {tmp_path / 'file/ledger'} cannot be written" in done.stdout
    assert "OTEL_AGENT_LEDGER_DIR" in done.stdout


def test_a_seam_that_is_gone_is_named():
    done = doctor("--no-self-test", before="import openai._streaming\ndel openai._streaming.Stream.__exit__")
    assert done.returncode == 1
    assert "problem openai: openai._streaming.Stream.__exit__ is missing" in done.stdout
    assert re.search(r"ok +anthropic: (\d+) of \1 places patched", done.stdout)


def test_a_client_that_records_nothing_is_found_by_the_self_test():
    silent = "from otel_agent_instrumentation.signals.metrics import Metrics\nMetrics.on_end = lambda self, call: None"
    done = doctor("--json", before=silent, OTEL_AGENT_DISABLED="openai,anthropic")
    assert done.returncode == 1
    assert {text for _, text in findings(done.stdout, "self_test")} == {
        f"groq: chat.completions, {way}: no point of the duration metric" for way in ("whole", "async", "stream")
    }


def test_a_fault_of_ours_is_told():
    broken = "from otel_agent_instrumentation.signals.metrics import Metrics\nMetrics.on_end = None"
    done = doctor("--json", before=broken, OTEL_AGENT_DISABLED="openai,anthropic")
    assert done.returncode == 1
    assert any(mark == "problem" and "internal fault at" in text for mark, text in findings(done.stdout, "faults"))


def test_a_guard_that_lets_pass_is_found():
    broken = "from otel_agent_instrumentation.redaction.guard import SpanGuard\nSpanGuard.redact = lambda s, it: it"
    done = doctor("--json", "--no-self-test", before=broken, **NO_CLIENTS)
    assert done.returncode == 1
    assert ("problem", "spans of our own provider: NOT redacted") in findings(done.stdout, "guard")
    assert ("ok", "logs of our own provider: redacted") in findings(done.stdout, "guard")


def test_a_disabled_sdk_is_said_and_nothing_is_tried():
    done = doctor("--json", OTEL_SDK_DISABLED="true")
    assert done.returncode == 0, done.stdout
    assert [mark for mark, _ in findings(done.stdout, "patches")] == ["warning"]
    assert "self_test" not in done.stdout


def test_bad_settings_are_warnings_that_name_their_place(tmp_path):
    (tmp_path / "otel-agent.toml").write_text('[agent]\nno_such_key = 1\nsummary = "perhaps"\n')
    done = doctor("--json", "--no-self-test", OTEL_AGENT_RUN_IDLE="soon", **NO_CLIENTS)
    assert done.returncode == 0, done.stdout
    told = findings(done.stdout, "configuration")
    assert [mark for mark, _ in told] == ["warning"] * 3
    for name in ("no_such_key", "agent.summary", "OTEL_AGENT_RUN_IDLE"):
        assert any(name in text for _, text in told), name


def test_no_secret_of_an_endpoint_or_a_header_is_shown():
    url = f"http://user:{SECRET}@127.0.0.1:{free_port()}/{SECRET}?key={SECRET}"
    for headers in (f"authorization=Bearer%20{SECRET},x-api-key={SECRET}", f"not a header {SECRET}"):
        for form in ((), ("--json",), ("--options",)):
            done = doctor(
                *form,
                "--no-self-test",
                OTEL_EXPORTER_OTLP_ENDPOINT=url,
                OTEL_EXPORTER_OTLP_HEADERS=headers,
                OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=SECRET,
                OTEL_AGENT_RUN_IDLE=SECRET,
                HTTPS_PROXY=f"http://user:{SECRET}@127.0.0.1:9",
                **NO_CLIENTS,
            )
            assert done.returncode == (0 if form == ("--options",) else 1)
            assert SECRET not in done.stdout + done.stderr


def test_a_client_that_cannot_be_imported_is_a_problem_and_json_stays_json(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "groq.py").write_text("print('hello')\nimport no_such_module_of_groq")
    done = doctor("--json", PYTHONPATH=str(tmp_path / "lib"), OTEL_AGENT_DISABLED="openai,anthropic")
    assert done.returncode == 1
    assert ("problem", "groq cannot be imported: ModuleNotFoundError: No module named 'no_such_module_of_groq'") in (
        findings(done.stdout, "patches")
    )


def test_a_client_that_is_not_installed_is_no_problem():
    gone = "import sys\nsys.modules['groq'] = None"
    done = doctor("--json", "--no-self-test", before=gone, OTEL_AGENT_DISABLED="openai,anthropic")
    assert done.returncode == 0, done.stdout
    assert ("note", "groq: not installed") in findings(done.stdout, "clients")
    assert ("note", "groq: not installed") in findings(done.stdout, "patches")
    assert ("note", "openai: switched off by OTEL_AGENT_DISABLED") in findings(done.stdout, "patches")


def test_without_a_working_sdk_it_still_has_something_to_say():
    done = doctor("--json", before="import sys\nsys.modules['opentelemetry.sdk.trace'] = None")
    assert done.returncode == 1
    assert "this process could not be instrumented: ModuleNotFoundError" in done.stdout
    assert ("ok", f"openai {metadata.version('openai')}") in [
        (mark, text.partition(" (")[0]) for mark, text in findings(done.stdout, "clients")
    ]


def test_options_lists_every_setting():
    done = doctor("--options", "--json")
    assert done.returncode == 0
    assert [row["name"] for row in json.loads(done.stdout)] == [option.name for option in config.OPTIONS]
    plain = doctor("--options").stdout
    assert "ledger_dir (default: logs/telemetry)\n  OTEL_AGENT_LEDGER_DIR\n  Folder of the ledger files." in plain


def test_wrong_usage_is_2():
    assert doctor("--no-such-flag").returncode == 2


@pytest.mark.neighbours
def test_another_instrumentation_is_named(request):
    distribution = {
        "official": "opentelemetry-instrumentation-genai-openai",
        "openinference": "openinference-instrumentation-openai",
        "openllmetry": "opentelemetry-instrumentation-openai",
        "logfire": "logfire",
    }[request.config.option.row]
    done = doctor("--json")
    assert done.returncode == 0, done.stdout
    assert any(f"({distribution} " in text for _, text in findings(done.stdout, "neighbours"))
