# SPDX-License-Identifier: Apache-2.0
"""The suite's own rules, as a pytest plugin: which row this is, what was counted, and which skips are honest.

A test may skip only for a want of this machine, and says so: ``needs: ../shared`` (a folder beside the checkout),
``needs: docker`` (a command), ``needs: package openai>=1.66`` (a row of the matrix has an older one), ``needs:
e2e-tools`` (what `make e2e-tools` builds, and `.ci/run` has built). With ``--strict-skips``, which ``make test`` always
gives, any other skip fails the run, and so does one whose need is met.
"""

from __future__ import annotations

import json
import os
import shutil
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent.parent
SHARED = ROOT.parent / "shared"
NEWEST = "newest"

_dishonest = pytest.StashKey[list[str]]()


def is_honest(reason: str, row: str) -> bool:
    """Whether a skip for ``reason`` names something that this machine, or this row of the matrix, really lacks."""
    prefix, _, need = reason.removeprefix("Skipped: ").partition(" ")
    if prefix != "needs:" or not need:
        return False
    if need.startswith("../"):
        return not (ROOT / need).exists()
    if need.startswith("package "):
        # `.venv` is made to hold every package that a test can want.
        return row != NEWEST and not _installed(Requirement(need.removeprefix("package ")))
    if need.startswith("e2e-tools"):
        # The build makes them; elsewhere they are a matter of ten minutes that nobody is made to spend.
        return shutil.which("go") is None or not os.environ.get("CI")
    return shutil.which(need) is None


def _installed(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("suite")
    group.addoption("--row", default=NEWEST, help="the row of tests/matrix.toml that this environment is")
    group.addoption("--counts", type=Path, help="write the outcomes' counts to this file, as JSON")
    group.addoption("--strict-skips", action="store_true", help="fail for a skip that this machine does not excuse")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_dishonest] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SHARED.is_dir():
        return
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason="needs: ../shared"))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    options, dishonest = session.config.option, session.config.stash[_dishonest]
    for report in reporter.stats.get("skipped", []) if options.strict_skips else []:
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not is_honest(reason, options.row):
            dishonest.append(f"{report.nodeid}: {reason}")
    if dishonest:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if options.counts:
        counts = {outcome: len(reports) for outcome, reports in reporter.stats.items() if outcome}
        counts["error"] = counts.get("error", 0) + len(dishonest)
        options.counts.write_text(json.dumps(counts))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash[_dishonest]:
        terminalreporter.write_line(f"SKIPPED, but it could have run here: {line}", red=True)
