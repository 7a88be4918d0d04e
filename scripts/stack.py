# SPDX-License-Identifier: Apache-2.0
"""The stack of docker-compose.yml: ``up``, ``down``, and ``smoke``, which sends a run and asks for it everywhere.

``smoke [jaeger] [prometheus] [grafana]`` asks those alone. Exit code 1: something is not as it should be; its line says
what, and what to look at.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
SECRETS = Path(os.environ.get("SECRETS_DIR") or ROOT / "secrets")
SERVICE = "smoke"
_NO_DOCKER = 127
PATIENCE = float(os.environ.get("SMOKE_PATIENCE") or 60)

# Run in a process of its own, launched as a user launches an agent.
AGENT = """
import otel_agent_instrumentation as agent
from opentelemetry import trace
with agent.run("smoke", task="smoke"), agent.cycle(), agent.step("say hello"):
    print(format(trace.get_current_span().get_span_context().trace_id, "032x"))
"""


class Trouble(Exception):  # noqa: N818 - what it says is for a person
    """Something is wrong: what, and what to look at."""


def _url(name: str, default: int) -> str:
    return os.environ.get(f"{name}_URL") or f"http://127.0.0.1:{_setting(f'{name}_PORT', str(default))}"


def _setting(name: str, default: str) -> str:
    """As Compose reads it: the environment, then .env, then the default."""
    file = ROOT / ".env"
    lines = file.read_text().splitlines() if file.is_file() else []
    found = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return os.environ.get(name) or found.get(name) or default


def _user() -> str:
    return _setting("GRAFANA_ADMIN_USER", "admin")


def make_secrets() -> None:
    """Random ones where none are. Readable by the containers' users: they are other than yours."""
    SECRETS.mkdir(mode=0o711, exist_ok=True)
    for name in ("otlp_token", "grafana_admin_password"):
        path = SECRETS / name
        if not path.is_file():
            path.write_text(secrets.token_hex(24))
            path.chmod(0o444)


def up() -> int:
    """Start everything, wait until it is healthy, and say how an agent sends to it."""
    make_secrets()
    status = _compose("up", "--detach", "--wait")
    if status == _NO_DOCKER:
        return status
    if status:
        print("stack: not healthy; see `docker compose ps` and `docker compose logs SERVICE`", file=sys.stderr)
        return status
    print(
        f"Grafana     {_url('GRAFANA', 3000)}  ({_user()}, secrets/grafana_admin_password)\n"
        f"Jaeger      {_url('JAEGER', 16686)}\nPrometheus  {_url('PROMETHEUS', 9090)}\n\nTo send to it:\n\n"
        f"export OTEL_EXPORTER_OTLP_ENDPOINT={_url('OTLP_HTTP', 4318)}\n"
        'export OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20$(cat secrets/otlp_token)"\n'
        "export OTEL_METRIC_EXPORT_INTERVAL=15000\nopentelemetry-instrument python agent.py"
    )
    return 0


def down() -> int:
    """Stop everything; the volumes stay (`docker compose down --volumes` removes them)."""
    make_secrets()  # without them Compose refuses the file
    return _compose("down")


def _compose(*command: str) -> int:
    version = ["docker", "compose", "version"]
    if shutil.which("docker") is None or subprocess.run(version, check=False, capture_output=True).returncode:
        print("stack: docker with Compose v2 (`docker compose`) is needed, and is not installed", file=sys.stderr)
        return _NO_DOCKER
    return subprocess.run(["docker", "compose", *command], check=False, cwd=ROOT).returncode


def smoke(wanted: list[str]) -> int:
    """Send a run, then ask for it."""
    try:
        trace_id = _send()
    except Trouble as trouble:
        print(f"collector   {trouble}")
        return 1
    print(f"collector   took the run {trace_id}")
    checks: dict[str, Callable[[], str]] = {
        "jaeger": lambda: _jaeger(trace_id),
        "prometheus": _prometheus,
        "grafana": _grafana,
    }
    failed = 0
    for name in wanted or list(checks):
        try:
            print(f"{name:<11} {checks[name]()}")
        except Trouble as trouble:
            failed = 1
            print(f"{name:<11} {trouble}")
    return failed


def _send() -> str:
    token = SECRETS / "otlp_token"
    if not token.is_file():
        raise Trouble("there is no secrets/otlp_token: `make up` makes it")
    endpoint = _url("OTLP_HTTP", 4318)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    environment = kept | {
        "OTEL_SERVICE_NAME": SERVICE,
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{token.read_text().strip()}",
        "OTEL_AGENT_LEDGER": "false",
    }
    launcher = str(Path(sys.executable).parent / "opentelemetry-instrument")
    command = [launcher, sys.executable, "-c", AGENT]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise Trouble(f"the agent failed: {done.stderr.strip()[-500:]}")
    if "lost" in done.stderr or "could not" in done.stderr:
        raise Trouble(
            f"did not take the run ({done.stderr.strip()[-300:]}). Is {endpoint} the collector (`docker compose ps`)?"
            " 401: secrets/otlp_token changed after the start (`docker compose restart otel-collector`)"
        )
    return done.stdout.strip()


def _get(url: str, headers: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(url, headers=headers or {})  # noqa: S310 - our own URLs
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        return json.load(answer)


def _until(ask: Callable[[], object], hint: str) -> None:
    """Ask until there is an answer. Raises Trouble with the last fault and the hint."""
    end, fault = time.monotonic() + PATIENCE, "no answer"
    while time.monotonic() < end:
        try:
            if ask():
                return
            fault = "has nothing of it"
        except (OSError, ValueError, KeyError) as error:
            fault = str(error)
        time.sleep(1)
    raise Trouble(f"{fault}: {hint}")


def _jaeger(trace_id: str) -> str:
    url = _url("JAEGER", 16686)
    _until(
        lambda: _get(f"{url}/api/v3/traces/{trace_id}"),
        "the gateway decides some seconds after a run's end, and keeps TRACES_KEEP_PERCENT of those that went well;"
        " `docker compose logs otel-collector jaeger`",
    )
    return f"has it: {url}/trace/{trace_id}"


def _prometheus() -> str:
    url = _url("PROMETHEUS", 9090)
    query = urllib.parse.urlencode({"query": f'agent_runs_total{{service_name="{SERVICE}"}}'})
    _until(
        lambda: _get(f"{url}/api/v1/query?{query}")["data"]["result"],
        "was it started with --web.enable-otlp-receiver? `docker compose logs otel-collector` names what it refused",
    )
    return f"has its metrics: {url}"


def _grafana() -> str:
    url = _url("GRAFANA", 3000)
    password = (SECRETS / "grafana_admin_password").read_text().strip()
    login = base64.b64encode(f"{_user()}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {login}"}
    for source in ("prometheus", "jaeger"):
        _until(
            lambda source=source: _get(f"{url}/api/datasources/uid/{source}/health", headers)["status"] == "OK",
            f"its data source {source} does not answer. 401: the password was set at its first start and is kept in its"
            " volume (`docker compose down --volumes` begins anew)",
        )
    _until(lambda: _get(f"{url}/api/dashboards/uid/agent-overview", headers), "`docker compose logs grafana`")
    return f"shows it: {url}/d/agent-overview"


if __name__ == "__main__":
    commands: dict[str, Callable[[], int]] = {"up": up, "down": down, "smoke": lambda: smoke(sys.argv[2:])}
    sys.exit(commands[sys.argv[1]]() if sys.argv[1:] and sys.argv[1] in commands else print(__doc__) or 2)
