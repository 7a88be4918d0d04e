# SPDX-License-Identifier: Apache-2.0
"""Runs mcp's own tests, from its source distribution, without us and with us, and compares test by test. By hand.

``python scripts/mcp_own_tests.py 2.3.0 /tmp/folder [-- pytest arguments]`` downloads, builds and runs in the folder;
nothing of it belongs into the repository. Exit code 1 where a test came out differently. Many compare
`_meta` to the letter: with ``NO_META=1`` in the environment nothing is written there. Those of mcp 2's own spans fail.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

from env import install, python

# The tests of the library itself: not those of its documentation and examples.
FOLDERS = ("client", "server", "shared", "interaction", "issues", "transports", "experimental")
# What its `dev` group names and these folders import.
NEEDED = ("pytest<9.2", "trio", "pytest-examples", "inline-snapshot", "dirty-equals", "pillow", "pydantic-settings")
NEEDED_2 = ("logfire==5.2.0", "blockbuster", "coverage", "opentelemetry-sdk")
PLUGIN = """
import os
import otel_agent_instrumentation as us

def pytest_configure(config):
    if os.environ.get("NO_META"):
        from otel_agent_instrumentation.integrations import _mcp_wire
        _mcp_wire.trace_of = lambda call: {}
    us.instrument()

def pytest_unconfigure(config):
    from otel_agent_instrumentation.core import contain
    print("contained faults:", contain.faults())
    us.uninstrument()
"""


def source(version: str, folder: Path) -> Path:
    """The unpacked source distribution."""
    if not (folder / f"mcp-{version}").is_dir():
        command = [str(python("newest")), "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "mcp"]
        subprocess.run([*command, f"mcp=={version}"], check=True, cwd=folder)
        with tarfile.open(folder / f"mcp-{version}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return folder / f"mcp-{version}"


def environment(version: str, folder: Path) -> Path:
    """An environment with that version, what its tests need, and this package; returns its interpreter."""
    made = folder / f"venv-{version}"
    interpreter = made / "bin" / "python"
    if not interpreter.is_file():
        subprocess.run([str(python("newest")), "-m", "venv", "--without-pip", str(made)], check=True)
        more = NEEDED_2 if version.startswith("2") else ()
        install(interpreter, ["--editable", ".", f"mcp[cli,ws]=={version}", *NEEDED, *more])
    return interpreter


def outcomes(version: str, folder: Path, extra: list[str], *, ours: bool) -> dict[str, str]:
    """Each test's outcome."""
    sources, interpreter = source(version, folder), environment(version, folder)
    report = folder / f"{version}-{'with' if ours else 'without'}.xml"
    (folder / "with_us.py").write_text(PLUGIN)
    chosen = [f"tests/{name}" for name in FOLDERS if (sources / "tests" / name).is_dir()]
    # Of the six variables that a stdio server gets, none is ours: its processes run without us both times.
    settings = {"OTEL_AGENT_LEDGER_DIR": str(folder / "ledger"), "PYTHONPATH": str(folder)}
    if os.environ.get("NO_META"):
        settings["OTEL_PROPAGATORS"] = "none"  # mcp 2 writes it itself
    command = [str(interpreter), "-m", "pytest", "-q", "-o", "addopts=", "-o", "log_cli=false"]
    command += ["-p", "no:cacheprovider", f"--junitxml={report}", *chosen, *(["-p", "with_us"] if ours else []), *extra]
    subprocess.run(command, check=False, cwd=sources, env={**os.environ, **settings})
    found: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by the line above
        kinds = [child.tag for child in case if child.tag in {"failure", "error", "skipped"}]
        found[f"{case.get('classname')}::{case.get('name')}"] = kinds[0] if kinds else "passed"
    return found


def main(arguments: list[str]) -> int:
    """Run both and say what differs."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    version, folder = arguments[0], Path(arguments[1]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    without = outcomes(version, folder, arguments[split + 1 :], ours=False)
    ours = outcomes(version, folder, arguments[split + 1 :], ours=True)
    differing = {name: (without.get(name), ours.get(name)) for name in {*without, *ours}}
    differing = {name: pair for name, pair in differing.items() if pair[0] != pair[1]}
    for what, found in (("without us", without), ("with us", ours)):
        print(f"{what:11}", {kind: list(found.values()).count(kind) for kind in sorted(set(found.values()))})
    for name, (before, after) in sorted(differing.items()):
        print(f"  {before} -> {after}: {name}")
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
