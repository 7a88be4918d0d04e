# SPDX-License-Identifier: Apache-2.0
"""A real browser (Debian's chromium, headless), driven over its DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Generator

    from websockets.sync.connection import Connection

PROGRAM = "chromium"
DEADLINE = 30.0
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # a container's user is root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--window-size=1400,900",
    "--remote-debugging-port=0",
)


def found() -> bool:
    """Whether there is a browser on this machine."""
    return shutil.which(PROGRAM) is not None


class Tab:
    """A tab. ``faults`` are the exceptions and errors that its pages told of."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._number = 0
        self.faults: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._connection.recv(timeout=DEADLINE))
            self._note(told)
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]

    def _note(self, told: dict[str, Any]) -> None:
        parameters = told.get("params", {})
        if told.get("method") == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.faults.append(str(details.get("exception", {}).get("description") or details["text"]))
        elif told.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.faults.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")

    def js(self, expression: str) -> Any:
        """The value of an expression; a promise is waited for."""
        result = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, expression: str, deadline: float = DEADLINE) -> Any:
        """Wait until an expression is true, and return its value."""
        end = time.monotonic() + deadline
        while not (value := self._try(expression)):
            assert time.monotonic() < end, (
                f"never: {expression}\n{str(self._try('document.body.innerText'))[:2000]}\n{self.faults}"
            )
            time.sleep(0.05)
        return value

    def _try(self, expression: str) -> Any:
        with suppress(AssertionError):  # the page is being loaded
            return self.js(expression)
        return None

    def open(self, url: str) -> None:
        """Go to a page, and wait until it is loaded."""
        self.send("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def key(self, key: str) -> None:
        """Press a key."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.send("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click the middle of the first element that ``selector`` finds, as a mouse does."""
        x, y = self.until(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); if (!e) return null;"
            "e.scrollIntoView({block: 'nearest'}); const b = e.getBoundingClientRect(); "
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, file: Path) -> None:
        """Take a picture of what is in sight."""
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def prefer(self, scheme: str) -> None:
        """Prefer `dark` or `light`."""
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])


@contextmanager
def tab() -> Generator[Tab]:
    """A browser with one tab, with a profile of its own."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            url = _debugger(Path(profile) / "DevToolsActivePort", process)
            with connect(url, max_size=None, compression=None) as connection:
                yield Tab(connection)
        finally:
            process.terminate()
            process.wait(DEADLINE)


def _debugger(file: Path, process: subprocess.Popen[bytes]) -> str:
    end = time.monotonic() + 2 * DEADLINE
    while time.monotonic() < end:
        assert process.poll() is None, "the browser has ended"
        with suppress(OSError, ValueError, IndexError, StopIteration):
            port = int(file.read_text().splitlines()[0])
            with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=DEADLINE) as answer:
                tabs = json.loads(answer.read())
            return next(one["webSocketDebuggerUrl"] for one in tabs if one["type"] == "page")
        time.sleep(0.05)
    msg = "the browser does not answer"
    raise AssertionError(msg)
