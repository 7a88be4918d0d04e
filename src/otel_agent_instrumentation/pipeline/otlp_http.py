# SPDX-License-Identifier: Apache-2.0
"""OTLP over HTTP: an adapter of `requests` watches each request and tells what came of it.

The SDK's exporter gets a session of ours and a timeout of next to nothing, which ends its retry loop after one request;
the adapter replaces that timeout by the attempt's and keeps the outcome. Should a version of the exporter post again
within an attempt, as 1.44 does after a connection error, the adapter answers without the network.
"""

from __future__ import annotations

import io
import threading
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from google.protobuf.message import DecodeError
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from requests.adapters import BaseAdapter
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError
from urllib3.util import Timeout

from otel_agent_instrumentation.core import contain
from otel_agent_instrumentation.pipeline.otlp import hush, hush_logger
from otel_agent_instrumentation.pipeline.outcome import DELIVERED, FAULT, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_agent_instrumentation.pipeline.otlp import OtlpOptions, Signal

_CLASSES: dict[str, Any] = {"traces": OTLPSpanExporter, "logs": OTLPLogExporter, "metrics": OTLPMetricExporter}
_REJECTED: dict[str, tuple[Any, str]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
}
_LOGGERS = ("trace_exporter", "_log_exporter", "metric_exporter")
# Ends the SDK's retry loop before its first pause. Not 0, which 1.44 takes for "not given".
_NO_TIME = 1e-6
_MOST_BODY = 64 * 1024
_RETRYABLE = frozenset({429, 502, 503, 504})
# A gateway may have passed the request on before it gave up.
_AMBIGUOUS = frozenset({502, 504})
_TOO_LARGE = 413


class _Trial(threading.local):
    """The attempt under way on a thread."""

    deadline: float = 0.0
    begun: bool = False
    outcome: Outcome | None = None


_trial = _Trial()


class _Watch(BaseAdapter):
    """Passes one request of an attempt on to ``inner`` and notes its outcome in the thread's trial."""

    def __init__(self, inner: BaseAdapter, signal: str) -> None:
        super().__init__()
        self._inner = inner
        self._signal = signal

    def send(
        self,
        request: Any,
        stream: bool = False,  # noqa: FBT001, FBT002, ARG002 - the base's signature
        timeout: Any = None,  # noqa: ARG002 - see above
        verify: Any = True,  # noqa: FBT002 - see above
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        if _trial.begun:
            return _response(request, 400, b"")
        _trial.begun = True
        left = max(0.001, _trial.deadline - time.monotonic())
        try:
            # A total: `requests` on its own would give connecting and the first byte that much each.
            answer = self._inner.send(request, True, Timeout(total=left), verify, cert, proxies)  # noqa: FBT003
        except (requests.RequestException, OSError) as error:
            _trial.outcome = _failure(error)
            raise
        body = _read(answer)
        _trial.outcome = _verdict(answer, body, self._signal)
        return _response(request, answer.status_code, body)

    def close(self) -> None:
        self._inner.close()


def _response(request: Any, status: int, body: bytes) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.request = request
    response.url = request.url
    response.raw = io.BytesIO(body)
    return response


def _read(answer: requests.Response) -> bytes:
    """Read the body, if it comes in time: it says no more than how many records were rejected."""
    body = b""
    try:
        if answer.ok:
            # `read1` returns what is there; `read` would wait for the last byte of a body that drips.
            read = getattr(answer.raw, "read1", answer.raw.read)
            while len(body) < _MOST_BODY and time.monotonic() < _trial.deadline:
                piece = read(_MOST_BODY, decode_content=True)
                if not piece:
                    return body
                body += piece
    except (HTTPError, OSError):
        pass
    # Not read to the end: the connection cannot be used again.
    answer.close()
    return body


def _verdict(answer: requests.Response, body: bytes, signal: str) -> Outcome:
    status = answer.status_code
    # Not 3xx, which the SDK takes for success: a login page has stored nothing.
    if 200 <= status < 300:  # noqa: PLR2004 - the classes of HTTP
        rejected = _rejected(body, signal)
        return Outcome(Verdict.DELIVERED, rejected=rejected) if rejected else DELIVERED
    reason = f"http_{status}"
    if status == _TOO_LARGE:
        return Outcome(Verdict.SPLIT, "too_large")
    if status in _RETRYABLE:
        return Outcome(Verdict.RETRY, reason, _retry_after(answer), maybe_delivered=status in _AMBIGUOUS)
    return Outcome(Verdict.REFUSED, reason)


def _rejected(body: bytes, signal: str) -> int:
    if not body:
        return 0
    kind, field = _REJECTED[signal]
    response = kind()
    try:
        response.ParseFromString(body)
    except DecodeError:
        return 0
    return max(0, int(getattr(response.partial_success, field)))


def _retry_after(answer: requests.Response) -> float | None:
    text = (answer.headers.get("Retry-After") or "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _failure(error: BaseException) -> Outcome:
    if isinstance(error, requests.exceptions.SSLError):
        return Outcome(Verdict.RETRY, "tls")
    if isinstance(error, requests.exceptions.ProxyError):
        return Outcome(Verdict.RETRY, "proxy")
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return Outcome(Verdict.RETRY, "timeout")
    if isinstance(error, requests.exceptions.Timeout):
        return Outcome(Verdict.RETRY, "timeout", maybe_delivered=True)
    if isinstance(error, requests.exceptions.ConnectionError):
        # `requests` wraps what urllib3 found: MaxRetryError(reason) around the cause.
        cause = getattr(error.args[0], "reason", error.args[0]) if error.args else None
        if isinstance(cause, NameResolutionError):
            return Outcome(Verdict.RETRY, "dns")
        if isinstance(cause, NewConnectionError):
            return Outcome(Verdict.RETRY, "unreachable")
        return Outcome(Verdict.RETRY, "connection_lost", maybe_delivered=True)
    # A URL or header that cannot be sent, a missing CA file: the same next time.
    return Outcome(Verdict.REFUSED, "bad_request")


class HttpTarget:
    """One signal's exporter. ``build`` makes it anew after a fork, when its connections are another process's."""

    def __init__(self, build: Callable[[], Any], name: str = "otlp") -> None:
        self.name = name
        self._build = build
        self._exporter: Any = build()
        self._retired: list[Any] = []

    def attempt(self, batch: Any, timeout: float) -> Outcome:
        """Make one request for ``batch``; see `Target`."""
        exporter = self._exporter = self._exporter or self._build()
        _trial.deadline, _trial.begun, _trial.outcome = time.monotonic() + timeout, False, None
        hush.on = True
        try:
            contain.call("pipeline.otlp", exporter.export, batch)
        finally:
            hush.on = False
        if _trial.outcome is not None:
            return _trial.outcome
        # Nothing left: it could not be encoded, or is larger than the exporter's own limit.
        return FAULT if _trial.begun else Outcome(Verdict.SPLIT, "unserialisable")

    def preferences(self) -> tuple[Any, Any]:
        """Temporality and aggregation that the exporter of metrics read from the environment."""
        return _preferences(self._exporter)

    def renew(self) -> None:
        """Use a new session from now on; the old one is kept, as closing it may wait for a lock held elsewhere."""
        self._retired.append(self._exporter)
        self._exporter = None

    def close(self) -> None:
        """Close the session."""
        if self._exporter is not None:
            self._exporter.shutdown()


def _preferences(exporter: Any) -> tuple[Any, Any]:
    # Private, but what the SDK's own metric readers read from every exporter.
    return getattr(exporter, "_preferred_temporality", None), getattr(exporter, "_preferred_aggregation", None)


def make_target(signal: Signal, options: OtlpOptions) -> HttpTarget:
    """Return the target of ``signal``.

    Raises:
        ValueError: the endpoint is not an http(s) URL.
    """
    for name in _LOGGERS:
        hush_logger(f"opentelemetry.exporter.otlp.proto.http.{name}")

    def build() -> Any:
        session = options.session() if options.session else requests.Session()
        for prefix in ("https://", "http://"):
            session.mount(prefix, _Watch(session.get_adapter(prefix), signal))
        headers = dict(options.headers) if options.headers else None
        return _CLASSES[signal](
            endpoint=options.endpoints.get(signal), headers=headers, timeout=_NO_TIME, session=session
        )

    target = HttpTarget(build)
    _check_endpoint(signal, getattr(target._exporter, "_endpoint", None))  # noqa: SLF001 - one class in two functions
    return target


def _check_endpoint(signal: str, endpoint: Any) -> None:
    if isinstance(endpoint, str):
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"the OTLP endpoint of {signal} is not an http(s) URL")
