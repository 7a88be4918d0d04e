# SPDX-License-Identifier: Apache-2.0
"""The real collector and the real Prometheus on free ports of loopback, with the configuration that is shipped."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import e2e_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "collector-config"
TOKEN = "a-token-of-the-tests"
PATIENCE = 60.0


def tool(name: str) -> str:
    """The path of a program that `make e2e-tools` builds; skips where it is not built."""
    path: Path = e2e_tools.path(name)
    if not path.is_file():
        pytest.skip("needs: e2e-tools (make e2e-tools builds them, once, in about ten minutes)")
    return str(path)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in found]


def get(url: str, **query: str) -> Any:
    """The JSON of an answer."""
    full = f"{url}?{urllib.parse.urlencode(query)}" if query else url
    try:
        with urllib.request.urlopen(full, timeout=10) as answer:  # noqa: S310 - our own
            return json.load(answer)
    except urllib.error.HTTPError as error:  # an answer, unlike a connection that is not there yet
        raise AssertionError(f"{query or url}: {error.read().decode()}") from error


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait for something true, and return it."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if found := condition():
                return found
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.1)


class Program:
    """A process with a log file, ended at the end of the test whatever happens."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=kept | (environment or {})
            )

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Collector(Program):
    """A collector with a configuration of `collector-config/`. ``settings``: the variables that it documents."""

    def __init__(self, folder: Path, config: str, **settings: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder / "otelcol.log")
        self.grpc, self.http, self.health, self.own_metrics = free_ports(4)
        token = folder / "token"
        token.write_text(TOKEN)
        self.command = [tool("otelcol"), "--config", str(CONFIG / config)]
        self.environment = {
            "OTLP_GRPC_LISTEN": f"127.0.0.1:{self.grpc}",
            "OTLP_HTTP_LISTEN": f"127.0.0.1:{self.http}",
            "HEALTH_LISTEN": f"127.0.0.1:{self.health}",
            "SELF_METRICS_HOST": "127.0.0.1",
            "SELF_METRICS_PORT": str(self.own_metrics),
            "OTLP_TOKEN_FILE": str(token),
            "GATEWAY_TOKEN_FILE": str(token),
            "QUEUE_DIR": str(folder / "queue"),
            **{key: str(value) for key, value in settings.items()},
        }

    def start(self) -> Collector:
        self.launch(self.command, self.environment)
        until(self._healthy, f"the collector is up; see {self.log}")
        return self

    def _healthy(self) -> bool:
        assert self.alive(), self.log.read_text()[-2000:]
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/", timeout=5) as answer:
            return answer.status == 200

    @property
    def for_agents(self) -> dict[str, str]:
        """The settings of an agent that sends here, at short intervals."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.http}",
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{TOKEN}",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
            "OTEL_BSP_SCHEDULE_DELAY": "500",
            "OTEL_BLRP_SCHEDULE_DELAY": "500",
        }


def faster(text: str, times: int) -> str:
    """A rules file for a clock that runs so many times faster: every window, offset and `for` is shorter.

    A `for` lasts five seconds at most: the unit tests wait for whole ones.
    """
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

    def shorter(found: re.Match[str], most: int = 10**6) -> str:
        before, number, unit = found.groups()
        return f"{before}{min(most, max(1, int(number) * units[unit] // times))}s"

    text = re.sub(r"(\[|offset )(\d+)([smhd])\b", shorter, text)
    return re.sub(r"(?m)(^\s+for: )(\d+)([smhd])$", lambda found: shorter(found, most=5), text)


class Prometheus(Program):
    """Prometheus with the shipped configuration and rules; ``times`` faster than they say, and told real addresses."""

    def __init__(self, folder: Path, targets: dict[str, str], times: int = 60) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder / "prometheus.log")
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        config = (CONFIG / "prometheus" / "prometheus.yml").read_text().replace("15s", "1s")
        for name, real in {"localhost:9090": f"127.0.0.1:{port}", **targets}.items():
            assert name in config
            config = config.replace(name, real)
        (folder / "prometheus.yml").write_text(config)
        (folder / "rules").mkdir()
        for rules in (CONFIG / "prometheus" / "rules").glob("*.yml"):
            (folder / "rules" / rules.name).write_text(faster(rules.read_text(), times))
        self.command = [
            tool("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-otlp-receiver",
            "--enable-feature=exemplar-storage",
        ]

    def start(self) -> Prometheus:
        self.launch(self.command)
        until(self._ready, f"Prometheus is up; see {self.log}")
        return self

    def _ready(self) -> bool:
        assert self.alive(), self.log.read_text()[-2000:]
        with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:  # noqa: S310 - our own
            return answer.status == 200

    def ask(self, query: str) -> list[dict[str, Any]]:
        """An instant query's series."""
        return get(f"{self.url}/api/v1/query", query=query)["data"]["result"]

    def alerts(self) -> dict[str, list[dict[str, Any]]]:
        """The firing alerts by name."""
        found: dict[str, list[dict[str, Any]]] = {}
        for alert in get(f"{self.url}/api/v1/alerts")["data"]["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert)
        return found


@contextlib.contextmanager
def ended(*programs: Program) -> Generator[None]:
    """End them, the last first."""
    try:
        yield
    finally:
        for program in reversed(programs):
            program.end()


def prices(folder: Path) -> str:
    """A table in which a thousand tokens cost about a cent, for each model but `new`."""
    table = folder / "prices.toml"
    rates = 'input = 1.25\noutput = 10.0\ncache_read = 0.125\ndate = "2026-11-01"\n'
    table.write_text(
        "".join(f'["*/{model}"]\n{rates}' for model in ("gpt-5", "claude-*", "dear", "not cheap", "many-tools"))
    )
    return str(table)
