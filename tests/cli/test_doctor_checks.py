# SPDX-License-Identifier: Apache-2.0
"""Doctor's checks one by one: exporters and endpoints, the ledger's place, the launcher's choices, the tested range."""

from __future__ import annotations

import socket
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from otel_agent_instrumentation import integrations
from otel_agent_instrumentation.cli import _doctor_packages as packages
from otel_agent_instrumentation.cli._doctor_exporters import exporters, ledger
from otel_agent_instrumentation.config import Settings, launcher
from suite_policy import ROOT


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def told(found):
    return [(finding.mark, finding.text) for finding in found]


def test_the_tested_range_is_the_matrix():
    pins: dict[str, list[Version]] = {}
    integration = {distribution: name for name, distribution in packages.RUNNERS.items()}
    for row in tomllib.loads((ROOT / "tests" / "matrix.toml").read_text())["row"]:
        for pin in map(Requirement, row["requires"]):
            name = integration.get(pin.name, pin.name)
            if name in packages.TESTED:
                pins.setdefault(name, []).append(Version(str(pin.specifier).removeprefix("==")))
    assert set(packages.TESTED) == set(integrations.BUILTIN)
    assert {c: (str(min(pins[c])), str(max(pins[c]))) for c in packages.TESTED} == packages.TESTED


@pytest.mark.parametrize(("version", "mark", "says"), [("0.0.1", "warning", "older"), ("99.0", "warning", "newer")])
def test_a_version_outside_the_tested_range_is_a_warning(monkeypatch, version, mark, says):
    monkeypatch.setattr(packages, "version_of", lambda name: version)
    finding = packages.client("openai")
    assert finding.mark == mark
    assert says in finding.text
    assert finding.mend


@pytest.mark.parametrize(
    ("environ", "distro", "configurator"),
    [
        ({}, "ok", "ok"),
        ({"OTEL_PYTHON_DISTRO": "agent"}, "ok", "ok"),
        ({"OTEL_PYTHON_DISTRO": "other"}, "warning", "ok"),  # ours is the only configurator here, and comes up first
        ({"OTEL_PYTHON_DISTRO": ""}, "warning", "ok"),
        ({"OTEL_PYTHON_CONFIGURATOR": "configurator"}, "ok", "warning"),
    ],
)
def test_who_configures_the_sdk_under_the_launcher(environ, distro, configurator):
    marks = {text.partition(":")[0]: mark for mark, text in told(packages.startup(launcher(environ)))}
    assert (marks["distro"], marks["configurator"]) == (distro, configurator)


@pytest.mark.parametrize("names", ["agent", "requests, agent", "*"])
def test_being_left_out_by_the_launcher_is_a_warning(names):
    found = told(packages.startup(launcher({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": names})))
    assert any(mark == "warning" and "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS" in text for mark, text in found)


def test_a_package_that_is_too_old_or_missing_is_a_problem():
    old, missing = map(packages._requirement, map(Requirement, ("wrapt>=99", "no-such-package>=1")))
    assert (old.mark, missing.mark) == ("problem", "problem")
    assert "pip install 'wrapt>=99'" in old.mend


def test_nothing_configured_is_the_ledger_alone():
    assert told(exporters(Settings())) == [
        ("ok", "traces: the ledger file"),
        ("ok", "logs: the ledger file"),
        ("note", "metrics: no exporter. To send them somewhere set OTEL_EXPORTER_OTLP_ENDPOINT"),
    ]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_an_endpoint_means_otlp_for_all_signals(port, protocol):
    found = told(exporters(Settings(endpoint=f"http://127.0.0.1:{port}", protocol=protocol)))
    assert found == [
        ("ok", f"traces: the ledger file, OTLP over {protocol}"),
        ("ok", f"logs: the ledger file, OTLP over {protocol}"),
        ("ok", f"metrics: OTLP over {protocol}"),
        ("ok", f"http://127.0.0.1:{port} (traces, logs, metrics) accepts connections"),
    ]


def test_each_signal_has_its_own_endpoint(port):
    with socket.create_server(("127.0.0.1", 0)) as other:
        logs = other.getsockname()[1]
        settings = Settings(endpoint=f"http://127.0.0.1:{port}", logs_endpoint=f"http://127.0.0.1:{logs}/v1/logs")
        found = told(exporters(settings))
    assert found[-2:] == [
        ("ok", f"http://127.0.0.1:{port} (traces, metrics) accepts connections"),
        ("ok", f"http://127.0.0.1:{logs} (logs) accepts connections"),
    ]


def test_grpc_takes_an_address_without_a_scheme(port):
    found = told(exporters(Settings(endpoint=f"127.0.0.1:{port}", protocol="grpc")))
    assert found[-1] == ("ok", f"http://127.0.0.1:{port} (traces, logs, metrics) accepts connections")


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "http://127.0.0.1:port", "ftp://127.0.0.1"])
def test_an_endpoint_that_is_no_url_is_a_problem(endpoint):
    found = told(exporters(Settings(endpoint=endpoint)))
    assert [mark for mark, text in found if "is not a URL" in text] == ["problem"] * 3


def test_an_unknown_protocol_is_a_problem_and_is_not_quoted(port):
    found = told(exporters(Settings(endpoint=f"http://127.0.0.1:{port}", protocol="carrier-pigeon")))
    assert [mark for mark, text in found if "no known protocol" in text] == ["problem"] * 3
    assert "carrier-pigeon" not in str(found)


def test_an_exporter_that_is_not_installed_is_a_problem():
    found = told(exporters(Settings(traces_exporter=("no-such-exporter", "console"))))
    assert ("problem", "traces: no installed package has an exporter named `no-such-exporter`") in found
    assert ("ok", "traces: console") in found


def test_an_exporter_that_nobody_wants_is_a_note():
    found = told(exporters(Settings(traces_exporter=("none",))))
    assert found[0] == ("note", "traces: no exporter, as OTEL_TRACES_EXPORTER says")


def test_a_sampler_that_drops_all_is_a_warning(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    assert any(mark == "warning" and "sampler" in text for mark, text in told(exporters(Settings())))


def test_through_a_proxy_the_proxy_is_what_must_answer(monkeypatch, port):
    monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{port}")
    monkeypatch.setenv("no_proxy", "")
    *_, (mark, text) = told(exporters(Settings(endpoint="http://collector.invalid:4318")))
    assert mark == "ok"
    assert "through the proxy" in text
    assert "secret" not in text


def test_the_ledger_leaves_nothing_behind(tmp_path):
    assert told(ledger(Settings())) == [("ok", f"{tmp_path}/logs/telemetry/<run id>.jsonl can be written")]
    (tmp_path / "logs" / "telemetry").mkdir(parents=True)
    assert told(ledger(Settings()))[0][0] == "ok"
    assert list((tmp_path / "logs" / "telemetry").iterdir()) == []


def test_one_shared_file(tmp_path):
    settings = Settings(ledger_path="one.jsonl")
    assert told(ledger(settings)) == [("ok", f"{tmp_path}/one.jsonl can be written")]
    (tmp_path / "one.jsonl").write_text("a line\n")
    assert told(ledger(settings))[0][0] == "ok"
    assert (tmp_path / "one.jsonl").read_text() == "a line\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs: symlinks")
def test_a_shared_file_that_is_a_link_is_a_problem(tmp_path):
    (tmp_path / "elsewhere").touch()
    (tmp_path / "one.jsonl").symlink_to(tmp_path / "elsewhere")
    assert told(ledger(Settings(ledger_path="one.jsonl")))[0][0] == "problem"


def test_a_ledger_that_is_off_is_a_note():
    assert told(ledger(Settings(ledger=False)))[0][0] == "note"
