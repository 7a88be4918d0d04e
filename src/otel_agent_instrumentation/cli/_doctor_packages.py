# SPDX-License-Identifier: Apache-2.0
"""Doctor on what is installed: Python, OpenTelemetry, this package, the clients, and what the launcher will load."""

from __future__ import annotations

import shutil
import sys
from importlib import metadata, util
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from .. import __version__
from ..integrations import BUILTIN
from ._doctor_report import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config import Launcher

DISTRIBUTION: Final = "otel-agent-instrumentation"
OURS: Final = "agent"
"""The name of our distro, configurator and instrumentor."""

TESTED: Final = {
    "openai": ("1.55.0", "3.52.0"),
    "anthropic": ("0.51.0", "2.11.0"),
    "groq": ("0.13.0", "1.7.0"),
    # tool runners
    "langchain": ("1.8.3", "1.8.3"),
    "openai_agents": ("0.24.0", "0.24.0"),
    "mcp": ("1.8.0", "2.3.0"),
}
"""Oldest and newest version of each client that the tests run on (tests/matrix.toml; a test compares the two)."""

RUNNERS: Final = {"langchain": "langchain-core", "openai_agents": "openai-agents"}
"""The distributions of what runs tools and makes no model call: they are not called like the integration."""

_LAUNCHER: Final = "opentelemetry-instrument"


def version_of(distribution: str) -> str | None:
    """The installed version, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def packages() -> Iterator[Finding]:
    """Python and what this package stands on, each with the oldest version that is supported."""
    python = ".".join(map(str, sys.version_info[:3]))
    try:
        ours = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        yield Finding("ok", f"Python {python}")
        yield Finding(
            "problem",
            f"{DISTRIBUTION} {__version__} is on the path but not installed: {_LAUNCHER} cannot find it",
            f"`pip install {DISTRIBUTION}` in this environment ({sys.prefix}), or call `instrument()` in code.",
        )
        return
    floor = SpecifierSet(str(ours.metadata["Requires-Python"] or ""))
    yield _held(f"Python {python}", floor, python, "run the agent with a newer Python.")
    yield Finding("ok", f"{DISTRIBUTION} {__version__}")
    for requirement in map(Requirement, ours.requires or ()):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _requirement(requirement)


def _requirement(requirement: Requirement) -> Finding:
    found = version_of(requirement.name)
    mend = f"`pip install '{requirement.name}{requirement.specifier}'`."
    if found is None:
        return Finding("problem", f"{requirement.name} is not installed", mend)
    return _held(f"{requirement.name} {found}", requirement.specifier, found, mend)


def _held(what: str, floor: SpecifierSet, found: str, mend: str) -> Finding:
    if floor.contains(found, prereleases=True):
        return Finding("ok", f"{what} (supported: {floor})")
    return Finding("problem", f"{what} is too old (supported: {floor})", mend)


def clients() -> Iterator[Finding]:
    """The supported clients: which are installed, and whether their version is one that the tests run on."""
    some = False
    for name in BUILTIN:
        finding = client(name)
        some = some or (finding.mark != "note" and name not in {*RUNNERS, "mcp"})
        yield finding
        if name == "mcp" and finding.mark != "note":
            yield _STDIO_SERVERS
    if not some:
        yield Finding("warning", "no supported client is installed: no model call will be seen", "install the client.")


_STDIO_SERVERS: Final = Finding(
    "note",
    "mcp: a stdio server gets six variables of its client's environment and none of ours. To see into one, launch it "
    f'instrumented: StdioServerParameters(command="{_LAUNCHER}", args=["python", "server.py"], '
    'env={"OTEL_...": ...}); see docs/mcp.md',
)


def client(name: str) -> Finding:
    """One client."""
    if not installed(name):
        return Finding("note", f"{name}: not installed")
    distribution = RUNNERS.get(name, name)
    found = version_of(distribution)
    if found is None:
        return Finding("warning", f"{name}: importable, but of no known version", f"`pip install {distribution}`.")
    if name not in TESTED:
        return Finding("ok", f"{name} {found}")
    oldest, newest = map(Version, TESTED[name])
    tested = f"tested: {oldest} to {newest}"
    if Version(found) < oldest:
        return Finding(
            "warning", f"{name} {found} is older than what is tested ({tested})", f"`pip install -U {distribution}`."
        )
    if Version(found) > newest:
        return Finding(
            "warning",
            f"{name} {found} is newer than what is tested ({tested}); it is tried, see the patches below",
            f"nothing, if the patches and the self-test are fine; else `pip install -U {DISTRIBUTION}`.",
        )
    return Finding("ok", f"{name} {found} ({tested})")


def installed(name: str) -> bool:
    """Whether the client can be found, without importing it. Anything may be called `agents`: a runner by its own."""
    if name in RUNNERS:
        return version_of(RUNNERS[name]) is not None
    return util.find_spec(name) is not None


def startup(told: Launcher) -> Iterator[Finding]:
    """What `opentelemetry-instrument` will load."""
    yield _command()
    if not any(point.name == OURS for point in entry_points(group="opentelemetry_instrumentor")):
        yield Finding(
            "problem",
            f"no instrumentor named `{OURS}` is installed: {_LAUNCHER} records no model call",
            f"`pip install --force-reinstall {DISTRIBUTION}`: its entry points are missing.",
        )
    if {OURS, "*"} & set(told.disabled):
        yield Finding(
            "warning",
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS names this package: the launcher leaves it out",
            f"take `{OURS}` (or `*`) out of it, unless this is meant.",
        )
    yield _chosen("distro", "opentelemetry_distro", "OTEL_PYTHON_DISTRO", told.distro or _default_distro(told))
    configurator = told.configurator
    if configurator is None and told.distro in {None, OURS}:
        configurator = OURS  # our module of the environment-variables group says so in the launcher's process
    yield _chosen("configurator", "opentelemetry_configurator", "OTEL_PYTHON_CONFIGURATOR", configurator)


def _default_distro(told: Launcher) -> str:
    # An empty variable is a name that no distro has.
    return OURS if told.distro is None else "none"


def _command() -> Finding:
    found = shutil.which(_LAUNCHER)
    mend = f"activate this environment, or name the command by its path: {Path(sys.executable).parent / _LAUNCHER}"
    if found is None:
        return Finding("warning", f"the command {_LAUNCHER} is not on the PATH", mend)
    if Path(found).parent != Path(sys.executable).parent:
        return Finding("warning", f"the PATH leads to the {_LAUNCHER} of another environment: {found}", mend)
    return Finding("ok", f"{_LAUNCHER}: {found}")


def _chosen(what: str, group: str, variable: str, chosen: str | None) -> Finding:
    there = list(dict.fromkeys(point.name for point in entry_points(group=group)))
    others = f"; also installed: {', '.join(n for n in there if n != OURS)}" if set(there) - {OURS} else ""
    if chosen is None:
        # The launcher takes the first that comes up.
        chosen = there[0] if there else "none"
    if chosen == OURS and OURS in there:
        return Finding("ok", f"{what}: `{OURS}`, this package's{others}")
    missing = "" if chosen in there else ", which is not installed"
    return Finding(
        "warning",
        f"{what}: `{chosen}`{missing}, not this package's: model calls are recorded and redacted all the same, but "
        "exporters, queues and the flush at exit are not ours",
        f"unset OTEL_PYTHON_DISTRO and OTEL_PYTHON_CONFIGURATOR, or set both to `{OURS}` ({variable} decides here).",
    )
