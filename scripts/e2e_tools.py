# SPDX-License-Identifier: Apache-2.0
"""Builds the programs that the end-to-end tests start: the collector, Prometheus with promtool, and Compose.

``python3 scripts/e2e_tools.py`` builds what is missing and prints where all are: outside the tree, below
``$XDG_CACHE_HOME/otel-agent-instrumentation/e2e/<hash of the manifest>``, so that every checkout shares them and a
changed manifest builds anew. Cold: about eight minutes on two cores, most of it for Prometheus. Standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "collector-config" / "builder.yaml"
MODULE = ROOT / "tests" / "e2e" / "binaries"
BUILDER = "go.opentelemetry.io/collector/cmd/builder@v0.159.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-agent-instrumentation" / "e2e"
# Prometheus' cloud discoveries are half of its build, and nothing here is discovered.
FLAGS = ("-trimpath", "-ldflags=-s -w", "-tags=netgo,remove_all_sd")


class Tool(NamedTuple):
    """A program of the module ``tests/e2e/binaries``; the collector has none."""

    name: str
    package: str = ""


TOOLS = (
    Tool("otelcol"),
    Tool("promtool", "github.com/prometheus/prometheus/cmd/promtool"),
    Tool("prometheus", "github.com/prometheus/prometheus/cmd/prometheus"),
    Tool("compose", "github.com/docker/compose/v2/cmd"),
)


def path(name: str) -> Path:
    """Where a program is, or would be, for its manifest as it is now."""
    inputs = (MODULE / "go.mod", MODULE / "go.sum") if _packages()[name] else (MANIFEST,)
    digest = hashlib.sha256(repr((BUILDER, FLAGS)).encode())
    for file in inputs:
        digest.update(file.read_bytes())
    return CACHE / digest.hexdigest()[:16] / name


def missing() -> list[str]:
    """The programs that are not built."""
    return [tool.name for tool in TOOLS if not path(tool.name).is_file()]


def build(tool: Tool) -> None:
    """Build it unless it is there: whole, or not at all. Raises CalledProcessError."""
    made = path(tool.name)
    made.parent.mkdir(parents=True, exist_ok=True)
    with (made.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second checkout waits, and finds it built
        if made.is_file():
            return
        print(f"building {tool.name}", file=sys.stderr, flush=True)
        environment = dict(os.environ, CGO_ENABLED="0", GOFLAGS="-buildvcs=false")
        with tempfile.TemporaryDirectory(dir=made.parent) as scratch:
            new = Path(scratch) / "new"
            if tool.package:
                command = ["go", "build", *FLAGS, "-o", str(new), tool.package]
                subprocess.run(command, check=True, cwd=MODULE, env=environment)
            else:
                _collector(Path(scratch), environment)
                (Path(scratch) / "otelcol" / "otelcol").rename(new)
            new.rename(made)


def _packages() -> dict[str, str]:
    return {tool.name: tool.package for tool in TOOLS}


def _collector(scratch: Path, environment: dict[str, str]) -> None:
    subprocess.run(["go", "install", BUILDER], check=True, env=environment | {"GOBIN": str(scratch)})
    subprocess.run([scratch / "builder", "--config", MANIFEST], check=True, cwd=scratch, env=environment)


def main() -> int:
    """Build what is missing; 2 where Go is not installed."""
    if missing() and shutil.which("go") is None:
        print("e2e-tools: go is not installed (1.26 or newer is needed): the end-to-end tests skip", file=sys.stderr)
        return 2
    for tool in TOOLS:
        try:
            build(tool)
        except subprocess.CalledProcessError as error:
            print(f"e2e-tools: failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
            return 1
        print(path(tool.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
