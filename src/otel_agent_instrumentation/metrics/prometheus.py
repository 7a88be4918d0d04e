# SPDX-License-Identifier: Apache-2.0
"""A reader that Prometheus scrapes: `OTEL_METRICS_EXPORTER=agent_prometheus`, and the source of the FastAPI router.

What OTel's own exporter lacks, and why there is this one (0.66b2): authentication, TLS, exemplars, exponential
histograms (one of them makes its whole scrape raise), scrapes at the same time (they take each other's data), a port
that is taken, a child process that inherits the setting, and a `target_info` without secrets.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import MetricReader

from ..config import is_root
from ..core.contain import Contained, warn_once
from ..core.settings import current as settings
from ..redaction.metrics import MetricsGuard, redact_metrics_data
from ..redaction.policy import default_policy
from .access import access_of
from .exposition import Family, families, written

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData

    from .serving import MetricsServer

_COLLECT = Contained("prometheus.collect")
_FOREIGN = Contained("prometheus.default_registry")
_CLOSE = Contained("prometheus.close")
_TIMEOUT_MS = 10_000


class PrometheusReader(MetricReader):
    """Collects when it is asked for its text. Give it to a `MeterProvider`, or let the router do so."""

    def __init__(self) -> None:
        super().__init__()
        self._begin()
        _open.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._started = float("-inf")
        self._data: MetricsData | None = None
        self._families: list[Family] = []
        self._texts: dict[bool, bytes] = {}

    def text(self, *, openmetrics: bool = False) -> bytes:
        """All metrics as they are now. Scrapes that come while one collects share the next collection."""
        arrived = time.monotonic()
        with self._lock:
            if self._started < arrived:
                self._started = time.monotonic()
                self._texts = {}
                self._families = self._collected()
            if openmetrics not in self._texts:
                self._texts[openmetrics] = written(self._families, openmetrics=openmetrics)
            return self._texts[openmetrics]

    def _collected(self) -> list[Family]:
        found: list[Family] = []
        self._data = None
        with _COLLECT:
            collect: Any = self._collect
            if collect is not None:
                self.collect(_TIMEOUT_MS)
            if self._data is not None:
                data = self._data
                if not isinstance(collect, MetricsGuard):  # a provider that nobody guards
                    data = redact_metrics_data(data, default_policy().at("metric"))
                found = families(data)
        self._data = None
        if "prometheus_client" in sys.modules:
            with _FOREIGN:
                from .foreign import default_registry

                names = {family.name for family in found}
                found += [family for family in default_registry() if family.name not in names]
        return found

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = _TIMEOUT_MS, **_: Any) -> None:  # noqa: ARG002 - the SDK's signature
        self._data = metrics_data

    def force_flush(self, timeout_millis: float = _TIMEOUT_MS) -> bool:  # noqa: ARG002 - see above
        """Nothing waits here, and a collection beside a scrape's would take from it."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Serve no more."""

    def reset_in_child(self) -> None:
        """In a forked child: whoever held the lock is the parent's."""
        self._begin()


class AgentPrometheusReader(PrometheusReader):
    """The reader of the entry point: it serves `/metrics` itself, as the settings say."""

    def __init__(self) -> None:
        super().__init__()
        self.server: MetricsServer | None = None
        chosen = settings()
        access = access_of(chosen)
        if not is_root():
            return  # a Python process that the agent started: the port is the agent's
        if not access.usable:
            warn_once(
                "prometheus:token",
                "otel-agent: /metrics is not served: it has no token. Set OTEL_AGENT_METRICS_TOKEN (or _TOKEN_FILE, or "
                "OTEL_AGENT_METRICS_BASIC), or OTEL_AGENT_METRICS_ANONYMOUS=true to let everybody read it.",
            )
            return
        from .serving import serve

        self.server = serve(self, access, chosen)

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:  # noqa: ARG002 - the SDK's signature
        """Serve no more."""
        if self.server is not None:
            self.server.close()
            self.server = None

    def reset_in_child(self) -> None:
        """In a forked child: the port is the parent's."""
        super().reset_in_child()
        server, self.server = getattr(self, "server", None), None
        if server is not None:
            server.let_go()


_open: weakref.WeakSet[PrometheusReader] = weakref.WeakSet()


def _in_child() -> None:
    for reader in list(_open):
        with _CLOSE:
            reader.reset_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
