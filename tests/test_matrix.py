# SPDX-License-Identifier: Apache-2.0
"""The matrix is what it says: each environment holds its row's versions, and every major has its oldest and newest."""

from __future__ import annotations

import tomllib
from importlib import import_module, metadata

import pytest
from packaging.requirements import Requirement

from suite_policy import ROOT

ROWS = {row["name"]: row for row in tomllib.loads((ROOT / "tests" / "matrix.toml").read_text())["row"]}
MAJORS = {"openai": {1, 2, 3}, "anthropic": {0, 1, 2}, "mcp": {1, 2}}
INSTRUMENTORS = {
    "official": ("opentelemetry.instrumentation.genai.openai", "opentelemetry.instrumentation.genai.anthropic"),
    "openinference": ("openinference.instrumentation.openai", "openinference.instrumentation.anthropic"),
    "openllmetry": ("opentelemetry.instrumentation.openai", "opentelemetry.instrumentation.anthropic"),
    "logfire": ("logfire",),
}


@pytest.mark.matrix
@pytest.mark.neighbours
def test_this_environment_holds_its_rows_versions(request):
    requirements = [Requirement(text) for text in ROWS[request.config.option.row]["requires"]]
    found = {r.name: metadata.version(r.name) for r in requirements}
    assert [r.name for r in requirements if not r.specifier.contains(found[r.name], prereleases=True)] == [], found


@pytest.mark.neighbours
def test_the_neighbour_imports_beside_these_clients(request):
    for name in INSTRUMENTORS[request.config.option.row]:
        import_module(name)


@pytest.mark.parametrize("client", MAJORS)
def test_every_major_has_its_oldest_and_its_newest(client):
    pins = [Requirement(text) for row in ROWS.values() for text in row["requires"]]
    versions = {str(pin.specifier).removeprefix("==") for pin in pins if pin.name == client}
    by_major = {major: [v for v in versions if v.startswith(f"{major}.")] for major in MAJORS[client]}
    assert all(len(found) == 2 for found in by_major.values()), by_major


def test_the_oldest_row_installs_the_lower_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = [text.replace(">=", "==") for text in project["dependencies"] if "python_version" not in text]
    assert set(bounds) <= set(ROWS["oldest"]["requires"])
    assert not any("<" in text for text in project["dependencies"] if "python_version" not in text), "an upper cap"
