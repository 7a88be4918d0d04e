# SPDX-License-Identifier: Apache-2.0
"""A fake OTLP/gRPC backend on loopback, with the same records and faults as the HTTP one.

A `Fault`'s status is translated as a collector does it: 429 and 413 to RESOURCE_EXHAUSTED, 503 to UNAVAILABLE,
400 to INVALID_ARGUMENT, others to UNKNOWN. ``retry_after`` has no counterpart here, and ``drip`` delays the answer.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import grpc

from .otlp_sink import Inbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from .otlp_records import Record

_SERVICES = {"traces": "trace.v1.TraceService", "logs": "logs.v1.LogsService", "metrics": "metrics.v1.MetricsService"}
_CODES: dict[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


class GrpcSink(Inbox):
    """An OTLP/gRPC backend on 127.0.0.1, without TLS."""

    def __init__(self, *, port: int = 0, on_record: Callable[[Record], None] | None = None) -> None:
        super().__init__(on_record)
        self._closing = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(16, thread_name_prefix="grpc-sink"))
        for signal, service in _SERVICES.items():
            handler = cast("Any", grpc.unary_unary_rpc_method_handler(self._export(signal)))
            name = f"opentelemetry.proto.collector.{service}"
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": handler}),))
        self.port: int = self._server.add_insecure_port(f"127.0.0.1:{port}")

    @property
    def url(self) -> str:
        """The address for OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop, dropping what is still being answered."""
        self._closing.set()
        self._server.stop(0).wait(1.0)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _export(self, signal: str) -> Callable[[bytes, Any], bytes]:
        # Without (de)serialisers gRPC hands over the message's bytes, which the inbox keeps; an empty answer is valid.
        def export(body: bytes, context: Any) -> bytes:
            fault = self.take_fault()
            refused = fault is not None and (fault.blackhole or fault.reset or fault.status is not None)
            headers = tuple((item.key, str(item.value)) for item in context.invocation_metadata())
            decoded = self.accept(signal, headers, body, refused=refused)
            if fault is not None:
                self._closing.wait(fault.drip)
                if fault.blackhole:
                    self._closing.wait()
                if refused:
                    context.abort(_CODES.get(fault.status or 503, grpc.StatusCode.UNKNOWN), "as the test asked")
            elif not decoded:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not decodable")
            return b""

        return export
