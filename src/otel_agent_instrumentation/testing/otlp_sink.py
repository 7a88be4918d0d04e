# SPDX-License-Identifier: Apache-2.0
"""A fake OTLP/HTTP backend on loopback: it decodes what it accepts, keeps the bytes, and fails on demand.

In a test: ``with OtlpSink() as sink: OTLPSpanExporter(endpoint=sink.url + "/v1/traces")``. As a process of its own:
``python -m otel_agent_instrumentation.testing.otlp_sink --port P --out FILE`` prints its address once it listens and
appends one JSON line for each record to FILE. `otlp_grpc.GrpcSink` is the same over gRPC.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import sys
import threading
import time
import zlib
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from .loopback import Connection, Loopback, Received, ResetConnection
from .otlp_records import REQUESTS, ExportRequest, LogRecord, PointRecord, Record, SpanRecord, records
from .provider import wait_for_signal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["Fault", "Inbox", "LogRecord", "OtlpSink", "PointRecord", "SinkRequest", "SpanRecord", "as_line"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What the sink does instead of accepting: answer ``status``, or nothing (``blackhole``), or ``reset``.

    ``retry_after`` in seconds becomes the header. ``drip`` accepts, but answers one byte each so many seconds.
    ``times`` limits the fault to so many requests; None means until it is changed.
    """

    status: int | None = None
    retry_after: int | None = None
    blackhole: bool = False
    reset: bool = False
    drip: float = 0.0
    times: int | None = None


@dataclass(frozen=True, slots=True)
class SinkRequest:
    """A request that arrived: ``signal`` is traces, logs or metrics, ``body`` decompressed; ``accepted`` if decoded."""

    signal: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    accepted: bool


class Inbox:
    """What a backend received, whatever the transport. Safe to use from many threads."""

    def __init__(self, on_record: Callable[[Record], None] | None = None) -> None:
        self._on_record = on_record or _ignore
        self._changed = threading.Condition()
        self._records: list[Record] = []
        self._requests: list[SinkRequest] = []
        self._fault: Fault | None = None
        self._left: int | None = None

    @property
    def requests(self) -> list[SinkRequest]:
        """All requests in order of arrival, refused ones too. A copy."""
        with self._changed:
            return list(self._requests)

    def spans(self, name: str | None = None) -> list[SpanRecord]:
        """Return the accepted spans, of one name if given."""
        return [record for record in self._all(SpanRecord) if name is None or record.name == name]

    def logs(self, event_name: str | None = None) -> list[LogRecord]:
        """Return the accepted log records, of one event name if given."""
        return [record for record in self._all(LogRecord) if event_name is None or record.event_name == event_name]

    def points(self, name: str | None = None) -> list[PointRecord]:
        """Return every accepted point of every export, of one metric if given."""
        return [record for record in self._all(PointRecord) if name is None or record.name == name]

    def metrics(self) -> dict[str, list[PointRecord]]:
        """Return the points by metric: of a cumulative series the latest alone, of a delta series all."""
        series: dict[str, PointRecord] = {}
        for position, point in enumerate(self.points()):
            identity = [point.name, point.scope.name, point.resource, point.attributes]
            distinct = [position] if point.temporality == "delta" else []
            series[json.dumps([*identity, *distinct], sort_keys=True, default=str)] = point
        found: defaultdict[str, list[PointRecord]] = defaultdict(list)
        for point in series.values():
            found[point.name].append(point)
        return dict(found)

    def wait_for(self, condition: Callable[[Self], object], timeout: float = 5.0) -> bool:
        """Wait until ``condition(self)`` is true, looking after each request; returns whether it became so."""
        deadline = time.monotonic() + timeout
        while not condition(self):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with self._changed:
                # In slices, as a request may arrive between the look and the wait.
                self._changed.wait(min(0.05, left))
        return True

    def clear(self) -> None:
        """Forget everything received."""
        with self._changed:
            self._records.clear()
            self._requests.clear()

    def fail(self, fault: Fault | None) -> None:
        """Fail from now on as ``fault`` says; None heals."""
        with self._changed:
            self._fault = fault
            self._left = fault.times if fault else None

    def take_fault(self) -> Fault | None:
        """Return the fault of the next request and count it."""
        with self._changed:
            if self._left is not None:
                if self._left <= 0:
                    self._fault = None
                self._left -= 1
            return self._fault

    def accept(self, signal: str, headers: tuple[tuple[str, str], ...], body: bytes, *, refused: bool) -> bool:
        """Record a request, its records too unless it is ``refused``; returns whether it could be decoded."""
        found: list[Record] = []
        decoded = not refused
        if decoded:
            try:
                found = list(records(_parsed(signal, body)))
            except DecodeError:
                decoded = False
        with self._changed:
            self._requests.append(SinkRequest(signal, headers, body, decoded))
            self._records.extend(found)
            for record in found:
                self._on_record(record)
            self._changed.notify_all()
        return decoded

    def _all(self, kind: type[Any]) -> list[Any]:
        with self._changed:
            return [record for record in self._records if isinstance(record, kind)]


def _ignore(record: Record) -> None:
    pass


def _parsed(signal: str, body: bytes) -> ExportRequest:
    request = REQUESTS[signal]()
    request.ParseFromString(body)
    return request


class OtlpSink(Inbox):
    """An OTLP/HTTP backend (protobuf, optionally compressed) on 127.0.0.1."""

    def __init__(self, *, port: int = 0, on_record: Callable[[Record], None] | None = None) -> None:
        super().__init__(on_record)
        self._server = Loopback(self._answer, port=port)

    @property
    def url(self) -> str:
        """The address for OTEL_EXPORTER_OTLP_ENDPOINT."""
        return self._server.url

    @property
    def port(self) -> int:
        """The port, which stays the same through `refuse` and `come_back`."""
        return self._server.port

    def refuse(self) -> None:
        """Drop all connections and refuse new ones, as a collector that is down."""
        self._server.refuse()

    def come_back(self) -> None:
        """Listen again, healed."""
        self.fail(None)
        self._server.listen()

    def close(self) -> None:
        """Stop."""
        self._server.close()

    def __enter__(self) -> Self:
        self._server.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, connection: Connection, received: Received) -> None:
        signal = received.path.removeprefix("/v1/")
        if signal not in REQUESTS or received.method != "POST":
            connection.send(connection.head(404, {}, length=0))
            return
        fault = self.take_fault() or Fault()
        refused = fault.blackhole or fault.reset or fault.status is not None
        decoded = self.accept(signal, received.headers, _decompressed(received), refused=refused)
        if fault.blackhole:
            connection.hang()
        elif fault.reset:
            raise ResetConnection
        else:
            _reply(connection, fault, fault.status or (200 if decoded else 400))


def _reply(connection: Connection, fault: Fault, status: int) -> None:
    headers = {"content-type": "application/x-protobuf"}
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    head = connection.head(status, headers, length=0)
    if not fault.drip:
        connection.send(head)
        return
    for position in range(len(head)):
        connection.pause(fault.drip)
        connection.send(head[position : position + 1])


def _decompressed(received: Received) -> bytes:
    encoding = (received.header("content-encoding") or "").lower()
    if encoding == "gzip":
        return gzip.decompress(received.body)
    return zlib.decompress(received.body) if encoding == "deflate" else received.body


def as_line(record: Record) -> str:
    """Return a record as a line of JSON: its fields, and ``signal``: span, log or metric."""
    signal = {SpanRecord: "span", LogRecord: "log", PointRecord: "metric"}[type(record)]
    return json.dumps({"signal": signal, **asdict(record)}, default=_bytes_as_text) + "\n"


def _bytes_as_text(value: object) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve as a process of its own until it is told to stop."""
    parser = argparse.ArgumentParser(prog="otlp_sink", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="file that gets one JSON line for each record")
    parser.add_argument("--status", type=int, help="answer each request with this status")
    parser.add_argument("--blackhole", action="store_true", help="never answer")
    options = parser.parse_args(arguments)
    with options.out.open("a", encoding="utf-8", buffering=1) as out:

        def write(record: Record) -> None:
            out.write(as_line(record))

        with OtlpSink(port=options.port, on_record=write) as sink:
            if options.status or options.blackhole:
                sink.fail(Fault(status=options.status, blackhole=options.blackhole))
            sys.stdout.write(f"{sink.url}\n")
            sys.stdout.flush()
            wait_for_signal()


if __name__ == "__main__":
    main()
