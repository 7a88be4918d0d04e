# SPDX-License-Identifier: Apache-2.0
"""A small HTTP server for `/metrics`, on a thread of its own: with a token or a password, by TLS if it is told to."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Protocol

from ..core.contain import Contained, warn_once
from .exposition import OPENMETRICS, PLAIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..config import Settings
    from .access import Access

_ANSWER = Contained("prometheus.answer")
_MOST_AT_ONCE = 64
_PAUSE = 0.5  # seconds
_PATIENCE = 10.0  # seconds for a request to come, and for its answer to be taken


class Source(Protocol):
    """What is served."""

    def text(self, *, openmetrics: bool = False) -> bytes:
        """All metrics as they are now."""
        ...


class Answer:
    """The answer to a scrape, whoever sends it."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: HTTPStatus, body: bytes, **headers: str) -> None:
        self.status = int(status)
        self.body = body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def answer(source: Source, access: Access, headers: Mapping[str, str]) -> Answer:
    """Answer a `GET /metrics` with these ``headers`` (names in lower case). Raises nothing."""
    if not access.allows(headers.get("authorization")):
        return Answer(
            HTTPStatus.UNAUTHORIZED,
            b"a token is needed\n",
            Content_Type="text/plain",
            WWW_Authenticate=access.challenge,
        )
    openmetrics = "application/openmetrics-text" in headers.get("accept", "")
    body = None
    with _ANSWER:
        body = source.text(openmetrics=openmetrics)
    if body is None:
        return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"see the agent's log\n", Content_Type="text/plain")
    made = Answer(HTTPStatus.OK, body, Content_Type=OPENMETRICS if openmetrics else PLAIN)
    if "gzip" in headers.get("accept-encoding", ""):
        made.body = gzip.compress(body, 1)  # zlib works without the interpreter's lock
        made.headers["Content-Encoding"] = "gzip"
    return made


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE
    protocol_version = "HTTP/1.1"
    server_version = "otel-agent"
    sys_version = ""

    def __init__(self, source: Source, access: Access, *args: Any) -> None:
        self._source, self._access = source, access
        super().__init__(*args)

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self._send(Answer(HTTPStatus.NOT_FOUND, b"only /metrics is here\n", Content_Type="text/plain"))
            return
        self._send(answer(self._source, self._access, {name.lower(): text for name, text in self.headers.items()}))

    def _send(self, made: Answer) -> None:
        self.send_response(made.status)
        for name, value in made.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(made.body)))
        self.end_headers()
        self.wfile.write(made.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base class's name
        """Say nothing: a scrape every few seconds is no news, and stderr is the agent's."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: Any, context: ssl.SSLContext | None) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._context = context
        self._places = threading.BoundedSemaphore(_MOST_AT_ONCE)
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Take the port. The base class would ask the name service who we are."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer on a thread of its own, unless there are too many."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            if self._context is not None:
                # Here and not where it is accepted: a client that never shakes hands holds up itself alone.
                request.settimeout(_PATIENCE)
                request = self._context.wrap_socket(request, server_side=True)
            super().process_request_thread(request, client_address)
        except OSError:  # one that hung up, or speaks no TLS
            self.shutdown_request(request)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away is no fault of the agent's."""


class MetricsServer:
    """A server that is running."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._closed = False
        self.port: int = server.server_address[1]
        self._thread = threading.Thread(target=self._run, name="otel-agent metrics", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # Not `serve_forever`, which wakes up twice a second to see whether it is to stop.
        while not self._closed:
            try:
                request, client = self._server.get_request()
            except OSError:
                if not self._closed:
                    time.sleep(_PAUSE)  # no file descriptor is left, for the moment
                continue
            with _ANSWER:
                self._server.process_request(request, client)

    def close(self) -> None:
        """Stop it and give the port back."""
        self._closed = True
        with suppress(OSError):
            self._server.socket.shutdown(socket.SHUT_RDWR)  # wakes who waits in `accept`
        self._server.server_close()
        self._thread.join(_PAUSE)

    def let_go(self) -> None:
        """In a forked child: the thread is the parent's; only the socket is here, too."""
        self._server.socket.close()


def serve(source: Source, access: Access, settings: Settings) -> MetricsServer | None:
    """Serve ``source`` where the settings say. What stands in the way is one warning, and None."""
    host, port = settings.prometheus_host, settings.prometheus_port
    try:
        context = None
        if settings.metrics_cert is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(settings.metrics_cert, settings.metrics_key)
        return MetricsServer(_Server((host, port), partial(_Handler, source, access), context))
    except (OSError, OverflowError) as error:
        warn_once(
            "prometheus:serve",
            "otel-agent: /metrics is not served at %s:%d: %s. See OTEL_EXPORTER_PROMETHEUS_HOST and _PORT, "
            "OTEL_AGENT_METRICS_CERT and _KEY.",
            host,
            port,
            error,
        )
        return None
