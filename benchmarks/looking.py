# SPDX-License-Identifier: Apache-2.0
"""What it takes to look: `stats` of 300,000 events, `show` and `report` of a run of 5,000, the page with 10,000.

The floor of a command is a program that reads the same file and decodes each line with msgspec, its start included.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
AGENT = str(Path(sys.executable).with_name("otel-agent"))
EVENTS, RUN, PAGE = 300_000, 5_000, 10_000
ROUNDS = 5
FLOOR = "import sys, msgspec\nfor line in open(sys.argv[1], 'rb'): msgspec.json.decode(line)"
_LONG_TASKS = """(async () => {
    const tasks = [], list = document.getElementById('tree');
    new PerformanceObserver((seen) => tasks.push(...seen.getEntries().map((one) => one.duration)))
        .observe({type: 'longtask'});
    let frames = 0, longest = 0, before = performance.now();
    for (let y = 0; y < list.scrollHeight; y += 480) {
        list.scrollTop = y;
        await new Promise((done) => requestAnimationFrame(done));
        const now = performance.now();
        longest = Math.max(longest, now - before);
        before = now;
        frames += 1;
    }
    await new Promise((done) => setTimeout(done, 300));
    return [frames, longest, tasks.length ? Math.max(...tasks) : 0];
})()"""


class _Cost(NamedTuple):
    seconds: float
    peak_mb: float


def _timed(command: list[str]) -> _Cost:
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command  # noqa: S101 - a figure of a failure is none
    return _Cost(time.perf_counter() - begin, used.ru_maxrss / 1024)


def _lines(count: int, source: list[str], root: str) -> Iterator[str]:
    """``count`` lines made of a run of the demo, again and again, each time later and with other ids."""
    own = json.loads(root)
    made, turn = 0, 0
    while made < count - 1:
        for line in source[: count - 1 - made]:

            def other(found: re.Match[str], turn: int = turn) -> str:
                span = found[0][1:-1]
                return found[0] if span == own["span_id"] else f'"{(int(span, 16) + turn * 7919) % (1 << 64):016x}"'

            line = re.sub(r'"[0-9a-f]{16}"', other, line)  # noqa: PLW2901 - the same line, later
            line = re.sub(r"\b\d{19}\b", lambda found, turn=turn: str(int(found[0]) + turn * 14 * 10**9), line)  # noqa: PLW2901
            yield re.sub(r'"cycle":([1-9]\d*)', lambda found, turn=turn: f'"cycle":{int(found[1]) + 3 * turn}', line)
            made += 1
        turn += 1
    own["payload"]["end_time_unix_nano"] += turn * 14 * 10**9
    own["time_unix_nano"] += turn * 14 * 10**9
    yield json.dumps(own, separators=(",", ":")) + "\n"


def _ledgers(folder: Path) -> dict[int, Path]:
    demo = folder / "demo"
    environment = {**os.environ, "OTEL_AGENT_LEDGER_DIR": str(demo)}
    subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py")], check=True, env=environment, stdout=subprocess.DEVNULL
    )
    file = next(file for file in demo.glob("*.jsonl") if "." not in file.stem)
    lines = file.read_text().splitlines(keepends=True)
    root = next(line for line in lines if '"name":"invoke_agent ' in line)
    found: dict[int, Path] = {}
    for count in (EVENTS, RUN, PAGE):
        found[count] = folder / f"{count}.jsonl"
        with found[count].open("w") as out:
            out.writelines(_lines(count, [line for line in lines if line is not root], root))
    return found


def main() -> None:
    """Print the figures."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        files = _ledgers(folder)
        print(f"\nlooking (median of {ROUNDS} rounds; the floor decodes each line, its start included)")
        commands = {
            f"stats, {EVENTS:,} events": (["stats", str(files[EVENTS])], files[EVENTS]),
            f"show, {RUN:,} events": (["show", str(files[RUN])], files[RUN]),
            f"report, {RUN:,} events": (["report", str(files[RUN]), "-o", str(folder / "r.html")], files[RUN]),
        }
        for name, (arguments, file) in commands.items():
            rounds = [
                (_timed([AGENT, *arguments]), _timed([sys.executable, "-c", FLOOR, str(file)])) for _ in range(ROUNDS)
            ]
            ratio = statistics.median(ours.seconds / floor.seconds for ours, floor in rounds)
            seconds = statistics.median(ours.seconds for ours, _ in rounds)
            peak = max(ours.peak_mb for ours, _ in rounds)
            print(f"  {name:24} {ratio:5.2f} x floor   {seconds:5.2f} s   {peak:4.0f} MB at most")
        print(f"  the report               {(folder / 'r.html').stat().st_size / 1e6:5.2f} MB")
        _page(folder, files[PAGE])


def _page(folder: Path, file: Path) -> None:
    sys.path.insert(0, str(ROOT / "tests" / "tools"))
    import browser

    if not browser.found():
        print("  the page                 not measured: no chromium (make browser)")
        return
    subprocess.run([AGENT, "report", str(file), "-o", str(folder / "p.html")], check=True, stdout=subprocess.DEVNULL)
    with browser.tab() as tab:
        for name, rows in (("r.html", RUN), ("p.html", PAGE)):
            opened: list[float] = []
            for _ in range(ROUNDS):
                tab.send("Page.navigate", url="about:blank")
                begin = time.perf_counter()
                tab.open((folder / name).as_uri())
                tab.until("document.querySelectorAll('#tree .row').length > 5")
                opened.append(time.perf_counter() - begin)
            print(f"  opened, {rows:,} events    {statistics.median(opened):5.2f} s until the tree is drawn")
        frames, longest, task = tab.js(_LONG_TASKS)
        print(f"  scrolled, {PAGE:,} events {frames} frames, {longest:.0f} ms the longest; longest task {task:.0f} ms")


if __name__ == "__main__":
    main()
