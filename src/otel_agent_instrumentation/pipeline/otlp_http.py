# SPDX-License-Identifier: Apache-2.0
"""OTLP over HTTP: an adapter of `requests` watches each request and tells what came of it.

The SDK's exporter gets a session of ours and a timeout of next to nothing, which ends its retry loop after one request;
the adapter replaces that timeout by the attempt's and keeps the outcome. Should a version of the exporter post again
within an attempt, as 1.44 does after a connection error, the session answers without the network.
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

from ..core import contain
from .otlp import OtlpTarget, hush, hush_logger
from .outcome import DELIVERED, Outcome, Verdict

if TYPE_CHECKING:
    from .otlp import OtlpOptions, Signal

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
_LOST = Outcome(Verdict.RETRY, "connection_lost", maybe_delivered=True)
# The first that fits: some are subclasses of `requests`' ConnectionError, and ConnectTimeout is also a Timeout.
_FAILURES: tuple[tuple[type[BaseException], Outcome], ...] = (
    (requests.exceptions.SSLError, Outcome(Verdict.RETRY, "tls")),
    (requests.exceptions.ProxyError, Outcome(Verdict.RETRY, "proxy")),
    (requests.exceptions.ConnectTimeout, Outcome(Verdict.RETRY, "timeout")),
    (requests.exceptions.Timeout, Outcome(Verdict.RETRY, "timeout", maybe_delivered=True)),
)


class _Trial(threading.local):
    """The attempt under way on a thread."""

    deadline: float = 0.0
    asked: bool = False
    within: bool = False
    outcome: Outcome | None = None


_trial = _Trial()


class _Watch(BaseAdapter):
    """Passes one request of an attempt on to ``inner`` and notes its outcome in the thread's trial."""

    def __init__(self, inner: BaseAdapter, signal: str) -> None:
        super().__init__()
        self._inner = inner
        self._signal = signal

    def send(  # noqa: PLR0913, PLR0917 - the base's signature
        self,
        request: Any,
        stream: bool = False,  # noqa: FBT001, FBT002, ARG002 - see above
        timeout: Any = None,  # noqa: ARG002 - see above
        verify: Any = True,  # noqa: FBT002 - see above
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        again = False
        while True:
            # A total: `requests` on its own would give connecting and the first byte that much each.
            total: Any = Timeout(total=max(0.001, _trial.deadline - time.monotonic()))
            try:
                answer = self._inner.send(request, True, total, verify, cert, proxies)  # noqa: FBT003 - by position
            except (requests.RequestException, OSError) as error:
                _trial.outcome = _failure(error)
                if _trial.outcome != _LOST or again:
                    raise
                # Most often the backend closed an idle connection at this very moment: once more, on a new one.
                again = True
                continue
            body = _read(answer)
            outcome = _verdict(answer, body, self._signal)
            _trial.outcome = outcome._replace(maybe_delivered=True) if again else outcome
            return _response(request, answer.status_code, body)

    def close(self) -> None:
        # At exit urllib3's finalisers have run already when we send the last request: its pools close nothing any more.
        pools: Any = getattr(getattr(self._inner, "poolmanager", None), "pools", {})
        for key in pools.keys():  # noqa: SIM118 - urllib3's container refuses to be iterated, for fear of threads
            pool: Any = pools.get(key)
            if pool is not None:
                pool.close()
        self._inner.close()


def _watch_calls(session: requests.Session) -> None:
    """Let one call of the exporter through in an attempt, and the calls that the session makes of itself within."""
    original = session.request

    def request(*args: Any, **kwargs: Any) -> requests.Response:
        if _trial.within:
            # A credential provider's session asks again with a new token.
            return original(*args, **kwargs)
        if _trial.asked:
            return _response(None, 400, b"")
        _trial.asked = _trial.within = True
        try:
            return original(*args, **kwargs)
        except ValueError:
            # Also what `requests` raises for a URL or a header that cannot be sent.
            _trial.outcome = _trial.outcome or Outcome(Verdict.REFUSED, "bad_request")
            raise
        finally:
            _trial.within = False

    vars(session)["request"] = request


def _response(request: Any, status: int, body: bytes) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    if request is not None:
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
    for kind, outcome in _FAILURES:
        if isinstance(error, kind):
            return outcome
    if isinstance(error, requests.exceptions.ConnectionError):
        # `requests` wraps what urllib3 found: MaxRetryError(reason) around the cause.
        cause = getattr(error.args[0], "reason", error.args[0]) if error.args else None
        if isinstance(cause, NameResolutionError):
            return Outcome(Verdict.RETRY, "dns")
        if isinstance(cause, NewConnectionError):
            return Outcome(Verdict.RETRY, "unreachable")
        return _LOST
    # A URL or header that cannot be sent, a missing CA file: the same next time.
    return Outcome(Verdict.REFUSED, "bad_request")


class HttpTarget(OtlpTarget):
    """One signal's exporter over HTTP."""

    def attempt(self, batch: Any, timeout: float) -> Outcome:
        """Make one request for ``batch``; see `Target`."""
        exporter = self.exporter()
        _trial.deadline, _trial.asked, _trial.outcome = time.monotonic() + timeout, False, None
        hush.on = True
        try:
            contain.call("pipeline.otlp", exporter.export, batch)
        finally:
            hush.on = False
        if _trial.outcome is not None:
            return _trial.outcome
        if _trial.asked:
            # The session raised before it came to our adapter: a credential provider that cannot get its token.
            return Outcome(Verdict.RETRY, "session")
        # Nothing left: it could not be encoded, or is larger than the exporter's own limit.
        return Outcome(Verdict.SPLIT, "unserialisable")


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
        _watch_calls(session)
        headers = dict(options.headers) if options.headers else None
        exporter = _CLASSES[signal](
            endpoint=options.endpoints.get(signal), headers=headers, timeout=_NO_TIME, session=session
        )
        _check_endpoint(signal, getattr(exporter, "_endpoint", None))
        return exporter

    return HttpTarget(build)


def _check_endpoint(signal: str, endpoint: Any) -> None:
    if isinstance(endpoint, str):
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"the OTLP endpoint of {signal} is not an http(s) URL")
