# SPDX-License-Identifier: Apache-2.0
"""Reading much: a ledger of 2 GB and a line of 1 GB, in bounded memory, against a bare loop over the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from otel_agent_instrumentation.envelope.line import timestamp

_GIB = 1 << 30
_PROCESSES = 4
_LINES = 100_000  # of one file
_BEGAN = 1_795_248_000_000_000_000

_READ = """
import sys, time
from pathlib import Path
from otel_agent_instrumentation.ledger import reader

def peak():  # not `getrusage`, whose peak is the parent's, too
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM")]
    return int(line.split()[1])

before, begin = peak(), time.perf_counter()
read = left = 0
{what}
print(time.perf_counter() - begin, read, left, (peak() - before) / 1024)
"""
_MERGED = """
for run in reader.runs(Path(sys.argv[1])):
    for one in reader.merged(run):
        read, left = read + (one is not None), left + (one is None)
"""
_BARE = """
for file in Path(sys.argv[1]).iterdir():
    with file.open("rb") as lines:
        for line in lines:
            read += 1
"""


def _template() -> bytes:
    told = {
        "schema_version": "1.0",
        "timestamp": timestamp(_BEGAN),
        "source": "coder",
        "run_id": "bench",
        "cycle": 1,
        "event": "tool.completed",
        "payload": {"tool": "search", "duration_ms": 12.5, "text": "x" * 380, "redacted_fields": []},
        "tags": {"agent": "coder"},
        "time_unix_nano": "TIME",
        "pid": 1,
    }
    return json.dumps(told, separators=(",", ":")).encode().replace(b'"TIME"', b"%d") + b"\n"


def _much(folder: Path, size: int) -> int:
    """Rotated files of one run, each process's later than the one before, together of ``size`` bytes; how many lines.

    The processes are active at the same time.
    """
    folder.mkdir()
    line = _template()
    parts = max(1, round(size / (len(line % _BEGAN) * _LINES * _PROCESSES)))
    for process in range(_PROCESSES):
        for part in range(parts):
            times = (_BEGAN + (part * _LINES + number) * 1_000_000 + process for number in range(_LINES))
            with (folder / f"bench.{process + 1}-1.{part + 1}.jsonl").open("wb") as file:
                file.writelines(line % time_ns for time_ns in times)
    return _LINES * _PROCESSES * parts


def _long(folder: Path, size: int) -> None:
    """A line of ``size`` bytes, sparse, between two."""
    folder.mkdir()
    with (folder / "bench.jsonl").open("wb") as file:
        file.write(_template() % _BEGAN)
        file.seek(size, 1)
        file.write(b"\n" + _template() % _BEGAN)


def _measured(folder: Path, what: str) -> tuple[float, int, int, float]:
    code = _READ.format(what=what)
    done = subprocess.run([sys.executable, "-c", code, folder], check=True, capture_output=True, text=True)
    seconds, read, left, mib = done.stdout.split()
    return float(seconds), int(read), int(left), float(mib)


def main() -> None:
    """Print time, lines and the memory that reading added, in processes of their own."""
    much, long = Path("much"), Path("long")
    lines = _much(much, 2 * _GIB)
    _long(long, _GIB)
    print(f"\nreading (the memory is what reading adds to the process); the ledger is of {lines} lines, 4 processes")
    for name, folder in (("2 GB, merged by time", much), ("a line of 1 GB", long)):
        floor, _, _, _ = _measured(folder, _BARE)
        seconds, read, left, mib = _measured(folder, _MERGED)
        print(
            f"  {name:25} {seconds:6.1f} s   {seconds / floor:5.1f} x a loop over its lines   "
            f"{read} read, {left} passed over   {mib:6.1f} MiB"
        )
