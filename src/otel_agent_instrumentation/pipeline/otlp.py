# SPDX-License-Identifier: Apache-2.0
"""The SDK's OTLP exporters, driven one attempt at a time.

They stay the ones that read OTel's variables, encode, compress, speak TLS and hold credentials. What is theirs no more
is the retry loop, which can neither be told from outside how long it may take nor tells afterwards what went wrong.
HTTP is watched through public seams (the ``session`` and ``timeout`` of the constructor, an adapter of `requests`);
gRPC through the exporter's stub, which is private: where it is missing the plain ``export`` is used, and counted.
The transport's packages are imported by `make_otlp_exporters` for the chosen protocol alone, and then at once: an
import on the worker's thread could hold a module's lock in the middle of a fork.
"""

from __future__ import annotations

import logging
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

    from .metric_export import BoundedMetricExporter
    from .outcome import Target

Signal = Literal["traces", "logs", "metrics"]
_MOST_RETIRED = 8
SIGNALS: tuple[Signal, ...] = ("traces", "logs", "metrics")


class OtlpOptions(NamedTuple):
    """What is not left to OTel's variables.

    ``timeout`` bounds one attempt, in seconds. ``endpoints`` and ``headers`` win over the environment; an endpoint is
    the full URL of its signal over HTTP. ``session`` makes the `requests.Session` to use (a credential provider's).
    """

    timeout: float = 10.0
    endpoints: Mapping[Signal, str] = MappingProxyType({})
    headers: Mapping[str, str] | None = None
    session: Callable[[], requests.Session] | None = None


class OtlpExporters(NamedTuple):
    """What was asked for: targets for `AgentSpanProcessor` and `AgentLogProcessor`, an exporter for a metric reader."""

    spans: Target[ReadableSpan] | None = None
    logs: Target[ReadableLogRecord] | None = None
    metrics: BoundedMetricExporter | None = None


def make_otlp_exporters(
    protocol: str, signals: tuple[Signal, ...] = SIGNALS, options: OtlpOptions | None = None
) -> OtlpExporters:
    """Return the exporters of ``signals`` over ``protocol`` (``http/protobuf`` or ``grpc``).

    Raises:
        ValueError: an unknown protocol, or an endpoint that is not a URL (its value is not quoted: it may hold a key).
        ImportError: the protocol's package is not installed.
    """
    options = options or OtlpOptions()
    if protocol == "http/protobuf":
        from .otlp_http import make_target
    elif protocol == "grpc":
        from .otlp_grpc import make_target
    else:
        raise ValueError("the OTLP protocol must be http/protobuf or grpc")
    targets = {signal: make_target(signal, options) for signal in signals if signal != "metrics"}
    metrics = None
    if "metrics" in signals:
        from .metric_export import BoundedMetricExporter

        metrics = BoundedMetricExporter(make_target("metrics", options), options.timeout)
    return OtlpExporters(targets.get("traces"), targets.get("logs"), metrics)


class OtlpTarget:
    """What both transports share. ``build`` makes the exporter anew, as after a fork its connections are another's."""

    name = "otlp"
    renewable = True

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = build
        self._exporter: Any = build()
        self._retired: list[Any] = []

    def exporter(self) -> Any:
        """Return the exporter, a new one after `renew`."""
        self._exporter = self._exporter or self._build()
        return self._exporter

    def preferences(self) -> tuple[Any, Any]:
        """Temporality and aggregation that an exporter of metrics read from the environment."""
        # Private, but what the SDK's own metric readers read from every exporter.
        exporter = self.exporter()
        return getattr(exporter, "_preferred_temporality", None), getattr(exporter, "_preferred_aggregation", None)

    def renew(self) -> None:
        """Use a new exporter from now on.

        The old one is kept for a while: closing it, or its finaliser, may wait for a lock that a thread of the parent
        process held, and a gRPC channel must not be closed by a forked child at all.
        """
        self._retired = [*self._retired[-_MOST_RETIRED:], self._exporter]
        self._exporter = None

    def close(self) -> None:
        """Shut the exporter down, unless it was never needed again."""
        if self._exporter is not None:
            self._exporter.shutdown()


class Hush(threading.local):
    """Silences the exporters' own loggers on a thread while we make an attempt: we tell the outcome ourselves.

    Theirs repeat a line for each batch, and one of them quotes the value that could not be encoded.
    """

    on: bool = False

    def __call__(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - it is the thread that matters
        """Filter: whether ``record`` may pass."""
        return not self.on


hush = Hush()


def hush_logger(name: str) -> None:
    """Apply `hush` to the logger ``name``; twice is once."""
    logging.getLogger(name).addFilter(hush)
