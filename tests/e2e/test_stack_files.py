# SPDX-License-Identifier: Apache-2.0
"""What is shipped for the stack, looked at without running it: each file by the program that will read it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
import yaml

from dashboards.__main__ import ALL
from dashboards.promql import labels, name
from otel_agent_instrumentation.metrics.catalogue import CATALOGUE
from stack_parts import CONFIG, ROOT, TOKEN, tool

RULES = sorted((CONFIG / "prometheus" / "rules").glob("*.yml"))
DASHBOARDS = sorted((CONFIG / "grafana" / "dashboards").glob("*.json"))
CHECKED_BY_NAME = sorted([*(CONFIG / "many-machines").glob("*.yaml"), CONFIG / "jaeger" / "config.yaml"])
# In the contrib image (or Jaeger's), and not among what the test collector is built of.
OTHERS = {"load_balancing", "kafka", "healthcheckv2", "jaeger_storage", "jaeger_query", "jaeger_storage_exporter"}
KINDS = ("extensions", "receivers", "processors", "exporters", "connectors")


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True)


def load(path: Any) -> Any:
    return yaml.safe_load(path.read_text())


# --- the collector ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", ["collector-gateway.yaml", "collector-agent.yaml"])
def test_the_collector_accepts_its_configuration(config, tmp_path, monkeypatch):
    (tmp_path / "token").write_text(TOKEN)
    for variable in ("OTLP_TOKEN_FILE", "GATEWAY_TOKEN_FILE"):
        monkeypatch.setenv(variable, str(tmp_path / "token"))
    monkeypatch.setenv("QUEUE_DIR", str(tmp_path / "queue"))
    done = run(tool("otelcol"), "validate", "--config", CONFIG / config)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_name_of_the_shipped_configurations_is_deprecated():
    known = components()
    for path in [CONFIG / "collector-gateway.yaml", CONFIG / "collector-agent.yaml"]:
        for kind in KINDS:
            assert {full.partition("/")[0] for full in load(path).get(kind, {})} <= known, path


def components() -> set[str]:
    """The component types of the test collector, as it lists them itself."""
    listed = yaml.safe_load(run(tool("otelcol"), "components").stdout)
    return {one["name"] for kind in KINDS for one in listed.get(kind, [])}


@pytest.mark.parametrize("path", CHECKED_BY_NAME, ids=lambda path: path.name)
def test_what_cannot_be_run_here_is_consistent_and_says_so(path):
    config = load(path)
    assert path.read_text().startswith("# Not run here"), "its first line says what was checked"
    # A file that is merged over the gateway's refers to what stands there.
    under = load(CONFIG / "collector-gateway.yaml") if "--config collector-gateway.yaml" in path.read_text() else {}
    declared = {kind: {*config.get(kind, {}), *under.get(kind, {})} for kind in KINDS}
    for kind in KINDS:
        assert {full.partition("/")[0] for full in config.get(kind, {})} <= OTHERS | components()
    for pipeline in config["service"]["pipelines"].values():
        assert set(pipeline["receivers"]) <= declared["receivers"] | declared["connectors"]
        assert set(pipeline["exporters"]) <= declared["exporters"] | declared["connectors"]
        assert set(pipeline.get("processors", [])) <= declared["processors"]
    assert set(config["service"].get("extensions", [])) <= declared["extensions"]
    text = path.read_text()
    for used in re.findall(r"(?:authenticator|storage): ((?:bearertokenauth|file_storage)(?:/[a-z]+)?)", text):
        assert used in declared["extensions"], used
    if path.parent.name == "jaeger":
        stored = config["extensions"]["jaeger_storage"]
        asked = config["extensions"]["jaeger_query"]["storage"]
        assert asked["traces"] in stored["backends"]
        assert asked["metrics"] in stored["metric_backends"]
        assert config["exporters"]["jaeger_storage_exporter"]["trace_storage"] == asked["traces"]


def test_the_images_have_the_version_that_the_tests_build():
    version = load(CONFIG / "builder.yaml")["dist"]["version"]
    texts = {path: path.read_text() for path in [ROOT / "docker-compose.yml", *CONFIG.glob("kubernetes/*.yaml")]}
    for path, text in texts.items():
        assert set(re.findall(r"opentelemetry-collector-contrib:([\d.]+)", text)) == {version}, path
    module = (ROOT / "tests" / "e2e" / "binaries" / "go.mod").read_text()
    (prometheus,) = re.findall(r"github.com/prometheus/prometheus v0\.(\d)(\d\d)\.(\d+)", module)
    assert f"prom/prometheus:v{prometheus[0]}.{prometheus[1]}.{prometheus[2]}" in texts[ROOT / "docker-compose.yml"]


@pytest.mark.parametrize("name", ["gateway", "agent"])
def test_kubernetes_names_what_the_configuration_has(name):
    documents = list(yaml.safe_load_all((CONFIG / "kubernetes" / f"{name}.yaml").read_text()))
    (workload,) = [one for one in documents if one["kind"] in {"StatefulSet", "DaemonSet"}]
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    text = (CONFIG / f"collector-{name}.yaml").read_text()
    variables = {one["name"] for one in container["env"]} - {"GOMEMLIMIT"}
    assert variables <= set(re.findall(r"\$\{env:(\w+)", text))
    ports = {str(one["containerPort"]) for one in container["ports"]}
    assert ports <= set(re.findall(r"\b(\d{4,5})\}", text))
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/etc/otelcol", "/run/secrets", "/var/lib/otelcol"} == mounts
    for one in documents:
        for port in one["spec"].get("ports", []) if one["kind"] == "Service" else []:
            assert str(port["port"]) in ports


# --- Prometheus ------------------------------------------------------------------------------------------------------


def test_promtool_accepts_configuration_and_rules():
    assert run(tool("promtool"), "check", "config", CONFIG / "prometheus" / "prometheus.yml").returncode == 0
    done = run(tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_unit_test_that_passes():
    tests = sorted((CONFIG / "prometheus" / "tests").glob("*.yml"))
    tested = {one["name"] for path in tests for one in load(path)["tests"]}
    assert tested == {rule["alert"] for rule in rules() if "alert" in rule}
    done = run(tool("promtool"), "test", "rules", *tests)
    assert done.returncode == 0, done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    return [rule for path in RULES for group in load(path)["groups"] for rule in group["rules"]]


def test_every_alert_says_what_to_do():
    text = (ROOT / "docs" / "alerts.md").read_text()
    headings = {re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in text.splitlines()}
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"page", "ticket"}, rule
            assert {"summary", "description", "runbook_url"} <= set(rule["annotations"])
            assert f"`{rule['alert']}`" in text
            file, _, place = rule["annotations"]["runbook_url"].partition("#")
            assert (file, place in headings) == ("docs/alerts.md", True), rule["alert"]


# --- Grafana ---------------------------------------------------------------------------------------------------------


def test_the_dashboards_are_what_the_script_makes():
    done = subprocess.run(
        [sys.executable, "-m", "dashboards", "--check"],
        check=False,
        cwd=ROOT / "scripts",
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}make dashboards"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_well_formed(path):
    board = json.loads(path.read_text())
    panels = board["panels"]
    assert board["uid"] == path.stem
    assert board["id"] is None
    assert Counter(panel["id"] for panel in panels).most_common(1)[0][1] == 1
    variables = {one["name"] for one in board["templating"]["list"]}
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        title = panel["title"]
        assert panel["description"].endswith("."), title
        assert panel["fieldConfig"]["defaults"]["unit"], title
        assert panel["datasource"]["uid"] == "${datasource}", title
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, title
        assert not cells & taken, title
        taken |= cells
        for target in panel["targets"]:
            used = set(re.findall(r"\$\{?([a-z]\w*)", target["expr"]))
            assert used <= variables, title
            assert ("$__range" in target["expr"]) <= target["instant"], f"{title}: a range in each point of a line"
            grouped = {one for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for one in group.split(", ")}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= grouped, title


def test_latency_panels_lead_to_jaeger():
    sources = load(CONFIG / "grafana" / "provisioning" / "datasources" / "datasources.yaml")["datasources"]
    assert {one["uid"] for one in sources} == {"prometheus", "jaeger"}
    (prometheus,) = [one for one in sources if one["uid"] == "prometheus"]
    assert prometheus["jsonData"]["exemplarTraceIdDestinations"] == [{"name": "trace_id", "datasourceUid": "jaeger"}]
    for board in ALL:
        for panel in board.panels:
            slow = panel.unit == "s" and "histogram_quantile" in panel.targets[0].expr
            if slow and board.uid == "agent-llm":
                assert panel.exemplars, panel.title


# --- names: the catalogue and what asks for it ------------------------------------------------------------------------

# Of others: Prometheus, the collector and its connector. What begins so and is in no catalogue is theirs.
FOREIGN = re.compile(r"^(agent:\w+:\w+|up|ALERTS|otelcol_\w+|traces_span_metrics_\w+)$")
FOREIGN_LABELS = {"job", "instance", "exporter", "receiver", "sampled", "span_kind", "alertstate", "__name__", "le"}
# In no panel and no rule, and why.
UNSHOWN: dict[str, str] = {}


def expressions() -> list[str]:
    panels = [target.expr for board in ALL for panel in board.panels for target in panel.targets]
    return panels + [rule["expr"] for rule in rules()]


def selectors(expression: str) -> list[tuple[str, str]]:
    """Metric names with what stands in their braces."""
    return re.findall(r"\b([a-zA-Z_:][\w:]*)\{([^}]*)\}", expression) + [
        (metric, "") for metric in re.findall(r"\b((?:agent|gen_ai|mcp|process)_\w+)\[", expression)
    ]


def test_every_metric_and_label_that_is_asked_for_is_in_the_catalogue():
    known = {name(metric): labels(row) for metric, row in CATALOGUE.items()}
    histograms = {name(metric) for metric, row in CATALOGUE.items() if row.kind == "histogram"}
    found = set()
    for expression in expressions():
        for metric, where in selectors(expression):
            base = re.sub(r"_(bucket|count|sum)$", "", metric)
            family = base if base in histograms else metric
            if FOREIGN.match(metric):
                continue
            assert family in known, f"{metric} in {expression}"
            assert (base in histograms) <= (metric != base), f"a histogram has no series of its own name: {expression}"
            found.add(family)
            used = set(re.findall(r'(\w+)\s*[=!]~?"', where))
            assert used <= known[family], f"{used - known[family]} in {expression}"
    assert found >= {name(metric) for metric in CATALOGUE if metric not in UNSHOWN}


def test_labels_of_rules_are_in_the_catalogue():
    every = {label for row in CATALOGUE.values() for label in labels(row)} | FOREIGN_LABELS
    for rule in rules():
        for group in re.findall(r"(?:by|on) \(([^)]*)\)", rule["expr"]):
            assert {one.strip() for one in group.split(",")} <= every, rule
        for used in re.findall(r"\$labels\.(\w+)", json.dumps(rule.get("annotations", {}))):
            assert used in every, rule


def test_zero_is_only_made_up_where_the_program_starts_at_zero():
    assert not [expression for expression in expressions() if "vector(0)" in expression]


# --- Compose ---------------------------------------------------------------------------------------------------------


def test_compose_accepts_the_file(tmp_path):
    done = run(tool("compose"), "-f", ROOT / "docker-compose.yml", "config", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    for service, made in json.loads(done.stdout)["services"].items():
        assert re.search(r":\d+\.\d+", made["image"].replace(":v", ":")), service
        assert made["read_only"], service
        assert made["cap_drop"] == ["ALL"], service
        assert "user" in made, service
        assert (made["user"] == "0:0") <= (made.get("cap_add") == ["CHOWN"]), service
        assert all(port["host_ip"] == "127.0.0.1" for port in made.get("ports", [])), service
        assert service == "volume-init" or made["deploy"]["resources"]["limits"]["memory"], service
        for volume in made.get("volumes", []):
            assert volume["type"] == "volume" or (ROOT / volume["source"]).exists(), volume


def test_an_image_is_overridden_by_its_digest(monkeypatch):
    digest = "otel/opentelemetry-collector-contrib@sha256:" + "0" * 64
    monkeypatch.setenv("OTELCOL_IMAGE", digest)
    done = run(tool("compose"), "-f", ROOT / "docker-compose.yml", "config", "--images")
    assert digest in done.stdout.splitlines(), done.stderr
    example = (ROOT / ".env.example").read_text()
    for variable in re.findall(r"\$\{(\w+):", (ROOT / "docker-compose.yml").read_text()):
        assert f"# {variable}=" in example, variable
