# SPDX-License-Identifier: Apache-2.0
"""Runs the tests in every environment of ``tests/matrix.toml`` and adds the results up in one last line.

``suite.py`` runs the whole suite in ``.venv`` and each row's marked files in the row's environment, as many at a time
as there are processors. ``suite.py <row> ... [-- pytest arguments]`` runs those rows alone. The whole suite's output is
live; a row's is kept in ``.venvs/<row>.log`` and shown if the row fails.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from env import NEWEST, ROOT, ensure, rows

if TYPE_CHECKING:
    from pathlib import Path

# A job that is not done by then is killed: pytest-timeout guards single tests, this guards everything else.
JOB_SECONDS = 45 * 60
# More failures than this are no matter of patience.
MOST_AGAIN = 8
SUMMARY = ROOT / ".venvs" / "summary.txt"


@dataclass(frozen=True, slots=True)
class Result:
    """What one environment's run came to."""

    name: str
    returncode: int
    seconds: float
    log: Path | None
    counts: dict[str, int] = field(default_factory=dict[str, int])


def run_row(name: str, extra: list[str]) -> Result:
    """Build the row's environment, run its tests there and read what they counted."""
    started = time.monotonic()
    marker = rows()[name]["marker"]
    log = None if name == NEWEST else ROOT / ".venvs" / f"{name}.log"
    counts = ROOT / ".venvs" / f"{name}.json"
    counts.parent.mkdir(exist_ok=True)
    counts.unlink(missing_ok=True)
    try:
        interpreter = ensure(name)
    except subprocess.CalledProcessError as error:
        print(f"{name}: the environment cannot be built: {error}", file=sys.stderr)
        return Result(name, 1, time.monotonic() - started, None, {"error": 1})
    command = [str(interpreter), "-m", "pytest", f"--row={name}", f"--counts={counts}", "--strict-skips"]
    if marker:
        # Only files that name the marker: the others import what a row's environment does not have.
        command += ["-m", marker, *_files_with(marker)]
    else:
        command += ["-m", "not neighbours or matrix"]
    command += ["-o", f"cache_dir={ROOT / '.venvs' / f'{name}.cache'}", *extra]
    returncode = _run(command, log)
    found: dict[str, int] = json.loads(counts.read_text()) if counts.is_file() else {}
    wrong = found.get("failed", 0) + found.get("error", 0)
    if returncode == 1 and 0 < wrong <= MOST_AGAIN:
        # Once more: two environments at a time on a busy machine can outlast a test's patience. Said, not hidden.
        again = _run([*command, "--last-failed", "--last-failed-no-failures", "none"], log, mode="ab")
        print(f"{name}: {wrong} failed; run again: {'passed' if again == 0 else 'failed again'}", file=sys.stderr)
        if again == 0:
            returncode = 0
            found["passed"] = found.get("passed", 0) + wrong
            found["failed"] = found["error"] = 0
    if returncode and not found.get("failed") and not found.get("error"):
        found["error"] = found.get("error", 0) + 1
    return Result(name, returncode, time.monotonic() - started, log, found)


def _files_with(marker: str) -> list[str]:
    needle = f"pytest.mark.{marker}"
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_*.py") if needle in path.read_text())


def _run(command: list[str], log: Path | None, mode: Literal["wb", "ab"] = "wb") -> int:
    out = log.open(mode) if log else None
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.STDOUT if out else None,
        start_new_session=True,
    )
    try:
        return process.wait(JOB_SECONDS)
    except BaseException as error:
        # Its own session: what the tests started goes with it.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            print(f"killed after {JOB_SECONDS} s: {' '.join(command)}", file=sys.stderr)
            return 1
        raise
    finally:
        if out:
            out.close()


def report(results: list[Result], seconds: float) -> int:
    """Show the failed rows' logs, a line a row, and the sum as pytest words it."""
    total: dict[str, int] = {}
    for result in results:
        for outcome, count in result.counts.items():
            if outcome != "deselected":  # what runs in another environment
                total[outcome] = total.get(outcome, 0) + count
        if result.returncode and result.log and result.log.is_file():
            print(f"\n--- {result.name} ---\n{result.log.read_text(errors='replace')}")
    print()
    for result in results:
        print(f"{result.name:24} {_words(result.counts):48} {result.seconds:7.1f} s")
    line = f" {_words(total)} in {seconds:.2f}s "
    SUMMARY.write_text(f"{line:=^100}\n")
    print(SUMMARY.read_text(), end="", flush=True)
    return int(any(result.returncode for result in results) or not total.get("passed"))


def _words(counts: dict[str, int]) -> str:
    order = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "error")
    words = [
        f"{counts[word]} {word}{'s' * (word == 'error' and counts[word] > 1)}" for word in order if counts.get(word)
    ]
    return ", ".join(words) or "no tests ran"


def main(arguments: list[str]) -> int:
    """Run the rows that are named, or all."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    names, extra = arguments[:split] or list(rows()), arguments[split + 1 :]
    started = time.monotonic()
    ensure(NEWEST)
    workers = int(os.environ.get("JOBS") or min(4, os.cpu_count() or 2))
    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(lambda name: run_row(name, extra), names))
    return report(results, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
