# SPDX-License-Identifier: Apache-2.0
"""`OTEL_METRICS_EXPORTER=agent_prometheus` under the launcher: who is served, and that the agent lives on."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_instrumentation import config
from otel_agent_instrumentation.metrics.access import Access, access_of
from otel_agent_instrumentation.metrics.serving import serve
from otel_agent_instrumentation.testing.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Generator

LAUNCHER = str(Path(sys.executable).parent / "opentelemetry-instrument")
SECRET = "sk-proj-T3Bl" + "bkFJx9Qe7LmN4vRz81KsWp20YtHc"
MAKE_KEY = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
# Makes a call, does what it is told to, says so, and waits to be ended.
AGENT = """
import os, sys
import openai
client = openai.OpenAI(base_url=os.environ["PROVIDER"] + "/v1", api_key="k", max_retries=0)
client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "x"}])
exec(os.environ.get("BEFORE", ""))
print("answered", flush=True)
sys.stdin.readline()
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def scrape(port: int, token: str | None = "right", scheme: str = "http", **options: Any) -> tuple[int, str]:
    """The status and the body; waits for nobody."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{scheme}://127.0.0.1:{port}/metrics", headers=headers)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=30, **options) as response:  # noqa: S310
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@contextmanager
def agent(folder: Path, port: int, **settings: str) -> Generator[None]:
    """An agent that has made its call; it is ended at the end, and must end well. Its stderr is the file `errors`."""
    told = {
        "OTEL_METRICS_EXPORTER": "agent_prometheus",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
        "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
        "OTEL_AGENT_METRICS_TOKEN": "right",
        **settings,
    }
    (folder / "agent.py").write_text(AGENT)
    with (
        Provider() as provider,
        (folder / "errors").open("w") as errors,
        subprocess.Popen(
            [LAUNCHER, sys.executable, "agent.py"],
            cwd=folder,
            env={**os.environ, **told, "PROVIDER": provider.url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "answered\n", (folder / "errors").read_text()
            yield
        finally:
            process.communicate("\n", timeout=60)
        assert process.returncode == 0


def test_it_is_served_to_who_has_the_token(tmp_path: Path) -> None:
    port = free_port()
    secret = {"OTEL_RESOURCE_ATTRIBUTES": f"api_key={SECRET},team=blue"}
    with agent(tmp_path, port, **secret):
        assert scrape(port, None)[0] == 401
        assert scrape(port, "wrong")[0] == 401
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: scrape(port), range(50)))
    for status, text in answers:
        assert status == 200
        assert 'team="blue"' in text
        assert SECRET not in text
        (count,) = [line for line in text.splitlines() if "operation_duration_seconds_count{" in line]
        assert count.endswith(" 1")
        assert "agent_telemetry_dropped" in text or "agent_telemetry_exported" in text


def test_without_a_token_nobody_is_served_and_it_is_said(tmp_path: Path) -> None:
    port = free_port()
    with agent(tmp_path, port, OTEL_AGENT_METRICS_TOKEN=""), pytest.raises(urllib.error.URLError):
        scrape(port)
    assert (tmp_path / "errors").read_text().count("OTEL_AGENT_METRICS_TOKEN") == 1


def test_everybody_is_served_where_that_is_wanted(tmp_path: Path) -> None:
    port = free_port()
    with agent(tmp_path, port, OTEL_AGENT_METRICS_TOKEN="", OTEL_AGENT_METRICS_ANONYMOUS="true"):
        assert scrape(port, None)[0] == 200


def test_a_port_that_is_taken_is_one_warning(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with agent(tmp_path, port):
            pass
    assert (tmp_path / "errors").read_text().count("/metrics is not served") == 1


CHILDREN = """
import subprocess, multiprocessing
pid = os.fork()
if pid == 0:
    os._exit(subprocess.call([sys.executable, "-c", "import time; time.sleep(0)"]))
assert os.waitpid(pid, 0)[1] == 0
kept = os.fork()
if kept == 0:
    for number in range(3):
        os.close(number)
    __import__("time").sleep(600)
open("kept", "w").write(str(kept))
"""


def test_children_do_not_fight_for_the_port(tmp_path: Path) -> None:
    """Neither a forked nor a spawned one; and one that outlives the agent does not keep the port."""
    port = free_port()
    kept = 0
    try:
        with agent(tmp_path, port, BEFORE=CHILDREN):
            kept = int((tmp_path / "kept").read_text())
            assert scrape(port)[0] == 200
        with socket.socket() as again:
            deadline = time.monotonic() + 30
            while True:
                try:
                    again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    again.bind(("127.0.0.1", port))
                    again.listen()
                    break
                except OSError:
                    assert time.monotonic() < deadline, "somebody still listens"
                    time.sleep(0.05)
        assert "not served" not in (tmp_path / "errors").read_text()
    finally:
        if kept:
            os.kill(kept, 9)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [*MAKE_KEY, "-keyout", "key.pem", "-out", "cert.pem", "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


class Text:
    """Something to be served."""

    def text(self, *, openmetrics: bool = False) -> bytes:
        return b"x 1\n"


def settings(**given: Any) -> config.Settings:
    return config.Settings(prometheus_host="127.0.0.1", prometheus_port=free_port(), **given)


def test_by_tls_and_a_client_that_never_shakes_hands_holds_up_nobody(certificate: Path) -> None:
    cert, key = str(certificate / "cert.pem"), str(certificate / "key.pem")
    server = serve(Text(), Access("right"), settings(metrics_cert=cert, metrics_key=key))
    assert server is not None
    try:
        with socket.create_connection(("127.0.0.1", server.port)):
            trusted = ssl.create_default_context(cafile=cert)
            assert scrape(server.port, scheme="https", context=trusted) == (200, "x 1\n")
            with pytest.raises((urllib.error.URLError, ConnectionError)):
                scrape(server.port)
    finally:
        server.close()


@pytest.mark.logs
@pytest.mark.parametrize("given", [{"metrics_cert": "nowhere.pem"}, {"metrics_cert": __file__}])
def test_a_certificate_that_cannot_be_used_is_one_warning(
    given: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert serve(Text(), Access("right"), settings(**given)) is None
    assert len(caplog.records) == 1


@pytest.mark.faults
def test_what_goes_wrong_is_answered_and_not_told_to_who_asks() -> None:
    class Broken:
        def text(self, *, openmetrics: bool = False) -> bytes:
            raise ValueError(SECRET)

    server = serve(Broken(), Access("right"), settings())
    assert server is not None
    try:
        status, text = scrape(server.port)
        assert status == 500
        assert SECRET not in text
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.port}/else", headers={"Authorization": "Bearer right"}
        )
        with pytest.raises(urllib.error.HTTPError) as found:
            urllib.request.urlopen(request, timeout=30)  # noqa: S310
        with found.value:
            assert found.value.code == 404
    finally:
        server.close()


@pytest.mark.logs
def test_the_token_may_stand_in_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "token").write_text("right\n")
    assert access_of(config.Settings(metrics_token_file=str(tmp_path / "token"))).allows("Bearer right")
    missing = access_of(config.Settings(metrics_token_file=str(tmp_path / "none")))
    assert not missing.usable
    assert not missing.allows("Bearer ")
    assert "OTEL_AGENT_METRICS_TOKEN_FILE" in caplog.text
