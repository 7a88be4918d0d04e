# SPDX-License-Identifier: Apache-2.0
"""Running an agent under the real launcher, against a loopback provider, in a folder and environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from otel_agent_instrumentation.envelope import line as envelope

AGENTS = Path(__file__).parent / "agents"
LAUNCHER = str(Path(sys.executable).parent / "opentelemetry-instrument")


@dataclass(frozen=True)
class Ended:
    """How a launched program ended. ``seconds`` counts from its `answered` line, the last thing it does itself."""

    code: int
    stdout: str
    stderr: str
    seconds: float


def environment(**settings: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "AGI_", "PYTHONPATH"))}
    # The library of prices takes each process half a second to load.
    return {**kept, "OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_AGENT_COST": "table", **settings}


def start(folder: Path, *command: str, **settings: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [LAUNCHER, sys.executable, *command],
        cwd=folder,
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    """Wait for it. Byte by byte: `communicate` would miss what `readline` had read beyond its line."""
    assert process.stdout is not None
    told = b""
    while not told.endswith(b"\n") and (byte := os.read(process.stdout.fileno(), 1)):
        told += byte
    return told.decode()


def run(folder: Path, *command: str, timeout: float = 60, **settings: str) -> Ended:
    process = start(folder, *command, **settings)
    first = first_line(process)
    begin = time.monotonic()
    rest, errors = process.communicate(timeout=timeout)
    return Ended(process.returncode, first + rest, errors, time.monotonic() - begin)


def agent(folder: Path, way: str, provider: str, timeout: float = 60, **settings: str) -> Ended:
    return run(folder, str(AGENTS / "way.py"), way, timeout=timeout, PROVIDER=provider, **settings)


def lines(folder: Path) -> list[envelope.Line]:
    files = sorted((folder / "logs" / "telemetry").glob("*.jsonl"))
    return [envelope.decode(data) for file in files for data in file.read_bytes().splitlines()]
