# SPDX-License-Identifier: Apache-2.0
"""OTLP over gRPC: one call of the exporter's stub is one attempt.

The exporter builds channel, credentials and headers from OTel's variables; its private ``_client`` and ``_headers`` are
what we use of it. Its own remedy for a lost connection, a new channel, is not needed: the channel reconnects by itself,
at least every five seconds as we configure it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

from ..core import contain
from .otlp import OtlpTarget, hush, hush_logger
from .outcome import DELIVERED, Outcome, PlainTarget, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from .otlp import OtlpOptions, Signal

_CLASSES: dict[str, Any] = {"traces": OTLPSpanExporter, "logs": OTLPLogExporter, "metrics": OTLPMetricExporter}
_REJECTED = {"traces": "rejected_spans", "logs": "rejected_log_records", "metrics": "rejected_data_points"}
_SEAMS = ("_client", "_headers", "_translate_data")
# The channel's own pauses between connections grow to two minutes by default.
_CHANNEL = (("grpc.initial_reconnect_backoff_ms", 500), ("grpc.max_reconnect_backoff_ms", 5000))
_RETRYABLE = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


class GrpcTarget(OtlpTarget):
    """One signal's exporter over gRPC; ``rejected`` names the field of its answer that counts refused records."""

    def __init__(self, build: Callable[[], Any], rejected: str) -> None:
        super().__init__(build)
        self._rejected = rejected

    def has_seams(self) -> bool:
        """Whether this version of the exporter has the private parts that an attempt needs."""
        exporter = self.exporter()
        stub = getattr(exporter, "_client", None)
        return all(hasattr(exporter, name) for name in _SEAMS) and hasattr(stub, "Export")

    def plain(self) -> PlainTarget:
        """Return the exporter as one that retries by itself."""
        return PlainTarget(self.exporter(), self.name)

    def attempt(self, batch: Any, timeout: float) -> Outcome:
        """Make one call for ``batch``."""
        exporter = self.exporter()
        hush.on = True
        try:
            request = contain.call("pipeline.encode", exporter._translate_data, batch)  # noqa: SLF001 - see has_seams
            if request is None:
                return Outcome(Verdict.SPLIT, "unserialisable")
            answer = exporter._client.Export(request=request, metadata=exporter._headers, timeout=timeout)  # noqa: SLF001
        except grpc.RpcError as error:
            return _failure(error)
        finally:
            hush.on = False
        rejected = max(0, int(getattr(answer.partial_success, self._rejected)))
        return Outcome(Verdict.DELIVERED, rejected=rejected) if rejected else DELIVERED


def _failure(error: Any) -> Outcome:
    code: grpc.StatusCode = error.code()
    details = str(error.details() or "")
    reason = f"grpc_{code.name.lower()}"
    wait = _retry_after(error)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and wait is None and "larger than max" in details:
        return Outcome(Verdict.SPLIT, "too_large")
    if code not in _RETRYABLE:
        return Outcome(Verdict.REFUSED, reason)
    if code is grpc.StatusCode.UNAVAILABLE and "connect" in details:
        return Outcome(Verdict.RETRY, "unreachable", wait)
    answered = code is grpc.StatusCode.RESOURCE_EXHAUSTED
    return Outcome(Verdict.RETRY, reason, wait, maybe_delivered=not answered)


def _retry_after(error: Any) -> float | None:
    for key, value in error.trailing_metadata() or ():
        if key == "google.rpc.retryinfo-bin":
            info = RetryInfo()
            try:
                info.ParseFromString(value)
            except DecodeError:
                return None
            return float(info.retry_delay.seconds) + info.retry_delay.nanos / 1e9
    return None


def make_target(signal: Signal, options: OtlpOptions) -> GrpcTarget | PlainTarget:
    """Return the target of ``signal``, or its plain exporter where a version lacks what an attempt needs."""
    hush_logger("opentelemetry.exporter.otlp.proto.grpc.exporter")

    def build() -> Any:
        return _CLASSES[signal](
            endpoint=options.endpoints.get(signal),
            headers=dict(options.headers) if options.headers else None,
            timeout=options.timeout,
            channel_options=_CHANNEL,
        )

    target = GrpcTarget(build, _REJECTED[signal])
    if target.has_seams():
        return target
    contain.warn_once(
        "pipeline.otlp.grpc.seam",
        "otel-agent: this version of the OTLP/gRPC exporter lacks what we drive it by; its own retries are used.",
    )
    return target.plain()
