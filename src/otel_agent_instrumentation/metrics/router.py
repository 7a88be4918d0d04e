# SPDX-License-Identifier: Apache-2.0
"""`GET /metrics` as a FastAPI router (the extra `[fastapi]`).

app.include_router(metrics_router(token=os.environ["METRICS_TOKEN"]))
"""

from __future__ import annotations

from typing import Any

from ..core.contain import Contained, warn_once
from ..core.settings import current as settings
from . import where
from .access import Access, access_of
from .prometheus import PrometheusReader
from .serving import answer

try:
    from fastapi import APIRouter, Request, Response
except ImportError as error:
    raise ImportError(
        "the router of /metrics needs FastAPI: pip install otel-agent-instrumentation[fastapi]"
    ) from error

_ADD = Contained("prometheus.router")


class _Current:
    """The reader of the provider in use; before there is one, that of prometheus_client's default registry alone."""

    def __init__(self) -> None:
        self._reader = PrometheusReader()

    def attach(self, provider: Any) -> None:
        """Read ``provider`` from now on."""
        with _ADD:
            if not hasattr(provider, "add_metric_reader"):
                warn_once("prometheus:router", "otel-agent: the router of /metrics needs opentelemetry-sdk 1.45.")
                return
            reader = PrometheusReader()  # a reader has one provider
            provider.add_metric_reader(reader)
            self._reader = reader

    def text(self, *, openmetrics: bool = False) -> bytes:
        """All metrics as they are now."""
        return self._reader.text(openmetrics=openmetrics)


def metrics_router(
    token: str | None = None, *, basic: str | None = None, path: str = "/metrics", allow_anonymous: bool = False
) -> APIRouter:
    """A router that serves the metrics of this process in Prometheus' text format, or OpenMetrics if that is asked for.

    :param token: what `Authorization: Bearer ...` must say; by default `OTEL_AGENT_METRICS_TOKEN` or `_TOKEN_FILE`.
    :param basic: `user:password` for basic authentication; by default `OTEL_AGENT_METRICS_BASIC`.
    :param path: where.
    :param allow_anonymous: let everybody read, where there is neither.

    It serves what `instrument()` or the launcher measures, before or after the router is made, and what stands in
    prometheus_client's default registry. Raises ValueError without a token, a password and ``allow_anonymous``.
    """
    configured = access_of(settings())
    access = (
        Access(token, basic, allow_anonymous)
        if token or basic
        else configured._replace(anonymous=allow_anonymous or configured.anonymous)
    )
    if not access.usable:
        raise ValueError("metrics_router() needs a token: give it one, or set OTEL_AGENT_METRICS_TOKEN")
    source = _Current()
    where.whenever(source.attach)
    router = APIRouter()

    def metrics(request: Request) -> Response:
        made = answer(source, access, {name.lower(): value for name, value in request.headers.items()})
        return Response(made.body, made.status, made.headers)

    # A plain function: FastAPI runs it on a thread, beside the event loop.
    router.add_api_route(path, metrics, methods=["GET"], include_in_schema=False, response_class=Response)
    return router
