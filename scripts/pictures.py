# SPDX-License-Identifier: Apache-2.0
"""Takes the pictures of README and docs from one run of the demo: the live page, the report, the terminal's tree.

The page is taken while the run goes on. The terminal is drawn by the browser from what `otel-agent show` writes to a
terminal, colours and all.
"""

from __future__ import annotations

import html
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import browser
from stream_peers import TOKEN, server

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
AGENT = str(Path(sys.executable).with_name("otel-agent"))
MOST = 200_000
COLUMNS, ROWS = 150, 40
COLOURS = {
    "1": "font-weight:bold",
    "2": "opacity:.65",
    "31": "color:#ff8a80",
    "32": "color:#6fce8f",
    "33": "color:#e5c07b",
    "36": "color:#7fd4e0",
}
TERMINAL = """<!doctype html><meta charset="utf-8"><style>
body { margin: 0; padding: 14px 18px; background: #16181b; color: #e4e6e8; }
pre { margin: 0; font: 13px/1.45 "DejaVu Sans Mono", monospace; }
</style><pre>%s</pre>"""


def main() -> int:
    """Take them; 1 where one came out too big to be read in a moment."""
    if not browser.found():
        print("pictures: no chromium (make browser)", file=sys.stderr)
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as place, browser.tab() as tab:
        ledger = Path(place) / "ledger"
        ledger.mkdir()
        live(tab, ledger)
        report(tab, ledger, Path(place) / "report.html")
        terminal(tab, ledger, Path(place) / "terminal.html")
    sizes = {file.name: file.stat().st_size for file in sorted(PICTURES.glob("*.png"))}
    for name, size in sizes.items():
        print(f"{name}: {size / 1000:.0f} KB")
    return int(any(size > MOST for size in sizes.values()))


def live(tab: browser.Tab, ledger: Path) -> None:
    """The page in the middle of the run, dark."""
    with server(ledger, "--jaeger", "http://localhost:16686") as at:
        tab.prefer("dark")
        sized(tab, 1300, 720)
        tab.open(f"http://127.0.0.1:{at.port}/?token={TOKEN}")
        environment = {**os.environ, "OTEL_AGENT_LEDGER_DIR": str(ledger)}
        demo = subprocess.Popen(
            [sys.executable, str(ROOT / "examples" / "demo.py")], env=environment, stdout=subprocess.DEVNULL
        )
        rows = "[...document.querySelectorAll('#tree .row')]"
        tab.until(f"{rows}.some((row) => row.textContent.includes('cycle 2'))", 60)
        tab.js("document.getElementById('tree').scrollTop = 0")
        tab.until(f"{rows}.some((row) => row.textContent.includes('CalledProcessError'))")
        tab.js(f"{rows}.find((row) => row.textContent.includes('CalledProcessError')).click()")
        tab.until("!document.getElementById('detail').hidden")
        time.sleep(1)
        tab.picture(PICTURES / "live.png")
        tab.until("document.querySelector('#sums dd').textContent === 'ok'", 60)
        demo.wait(60)


def report(tab: browser.Tab, ledger: Path, page: Path) -> None:
    """The report, light: tokens over time with a call chosen."""
    subprocess.run([AGENT, "report", str(ledger), "-o", str(page)], check=True, stdout=subprocess.DEVNULL)
    tab.prefer("light")
    sized(tab, 1300, 600)
    tab.open(page.as_uri())
    tab.until("document.querySelectorAll('#tree .row').length > 5")
    tab.picture(PICTURES / "report.png")


def terminal(tab: browser.Tab, ledger: Path, page: Path) -> None:
    """What `otel-agent show` writes to a terminal of 150 columns."""
    text = "\n".join(typed([AGENT, "show", str(ledger)]).splitlines()[:ROWS])
    page.write_text(TERMINAL % coloured(text), encoding="utf-8")
    sized(tab, 1230, 28 + round(ROWS * 13 * 1.45))
    tab.open(page.as_uri())
    tab.picture(PICTURES / "terminal.png")


def typed(command: list[str]) -> str:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    environment |= {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(command, stdout=theirs, env=environment) as process:
        os.close(theirs)
        found = b""
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:  # a terminal's end, on Linux
                break
            if not piece:
                break
            found += piece
        process.wait()
    os.close(ours)
    return found.decode()


def coloured(text: str) -> str:
    """ANSI styles as spans."""
    pieces = re.split(r"\x1b\[(\d+)m", html.escape(text))
    styled = [
        f'<span style="{COLOURS.get(code, "")}">{said}</span>'
        for code, said in zip(pieces[1::2], pieces[2::2], strict=True)
    ]
    return pieces[0] + "".join(styled)


def sized(tab: browser.Tab, width: int, height: int) -> None:
    """Make the tab's view so large, in pixels."""
    tab.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)


if __name__ == "__main__":
    sys.exit(main())
