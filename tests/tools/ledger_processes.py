# SPDX-License-Identifier: Apache-2.0
"""Processes that write to one ledger at once, with rotation, and what is there afterwards.

`ledger_processes.py fork|spawn PROCESSES RECORDS FOLDER [shared] [drop]`: records of 200 B to 16 KB, log-uniform, and
20 of 1 MB each, split among the processes; without `drop` the durability is `block`. Exits with 0 where every line
parses, none is there twice, and what is missing is what the writers counted.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

MB = 1_000_000
LARGE = 20
EVENT = "load.record"


def size(chance: random.Random) -> int:
    return int(math.exp(chance.uniform(math.log(200), math.log(16_384))))


def emit(process: int, processes: int, records: int, report: str) -> None:
    from otel_agent_instrumentation import emit_event, flush
    from otel_agent_instrumentation.bootstrap.state import state

    chance = random.Random(process)  # noqa: S311 - no secret
    large = set(range(process, LARGE, processes)) if records > 1000 else set()
    begin = time.monotonic()
    for number in range(records):
        text = "x y " * ((MB if number in large else size(chance)) // 4)
        emit_event(EVENT, {"process": process, "n": number, "text": text})
    told = time.monotonic() - begin
    ended = flush(600)
    lost = state.writer.lost() if state.writer is not None else {}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    Path(report, f"{process}.json").write_text(
        json.dumps({"lost": sum(lost.values()), "peak": peak, "seconds": told, "ended": ended})
    )


def main() -> int:
    how, processes, records, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    logs, report = folder / "logs", folder / "report"
    report.mkdir(parents=True)
    os.environ.update(OTEL_AGENT_LEDGER_DIR=str(logs), OTEL_AGENT_SUMMARY="false")
    os.environ["OTEL_AGENT_LEDGER_ROTATE_BYTES"] = str(64 * MB if records > 1000 else MB)
    if "drop" not in sys.argv:
        os.environ["OTEL_AGENT_LEDGER_DURABILITY"] = "block"
    if "shared" in sys.argv:
        os.environ["OTEL_AGENT_LEDGER_PATH"] = str(logs / "all.jsonl")
    import otel_agent_instrumentation

    assert otel_agent_instrumentation.emit_event("load.begin", {})  # a parent that has a writer, and a thread
    context: Any = multiprocessing.get_context(how)
    begin = time.monotonic()
    workers = [context.Process(target=emit, args=(n, processes, records, str(report))) for n in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.monotonic() - begin
    return judge(logs, report, processes * records, seconds)


def judge(logs: Path, report: Path, expected: int, seconds: float) -> int:
    reports = [json.loads(file.read_text()) for file in report.iterdir()]
    seen: set[tuple[int, int]] = set()
    wrong = twice = size_ = 0
    for file in logs.glob("*.jsonl"):
        size_ += file.stat().st_size
        with file.open("rb") as lines:
            for line in lines:
                if line.isspace():
                    continue  # put there by a process that saw half of another's line
                try:
                    told = json.loads(line)
                except ValueError:
                    wrong += 1
                    continue
                if told["event"] == EVENT:
                    key = (told["payload"]["process"], told["payload"]["n"])
                    twice += key in seen
                    seen.add(key)
    lost, peak = sum(one["lost"] for one in reports), max(one["peak"] for one in reports)
    sys.stdout.write(
        f"{len(seen)} of {expected} recorded, {lost} dropped, {twice} twice, {wrong} unreadable; "
        f"{size_ / MB:.0f} MB in {len(list(logs.glob('*.jsonl')))} files, {seconds:.1f} s, peak {peak} MB a process\n"
    )
    good = len(seen) + lost == expected and not twice and not wrong and all(one["ended"] for one in reports)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
