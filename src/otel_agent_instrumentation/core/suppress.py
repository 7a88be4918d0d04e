# SPDX-License-Identifier: Apache-2.0
"""Switching the instrumentation off for a block of code: ours, and the keys that the field already uses."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context

from .. import semconv
from .contain import Contained

if TYPE_CHECKING:
    from collections.abc import Generator

    from opentelemetry.context import Context

_SUPPRESS = Contained("suppress")
_OURS = "otel_agent_suppress"
# Set by `opentelemetry.instrumentation.utils.suppress_instrumentation`, Logfire and the exporters, beside the next one.
_OTEL = "suppress_instrumentation"
# OTel's own key has a random part, made at import. OpenInference's `suppress_tracing` sets this one alone.
_OTEL_UNIQUE: str = getattr(otel_context, "_SUPPRESS_INSTRUMENTATION_KEY", _OTEL)
# OpenLLMetry's key for "a layer above has told this model call already".
_LANGUAGE_MODEL = "suppress_language_model_instrumentation"

# opentelemetry-util-genai (1.3b0) keeps an open invocation's data in the context; instrumentors below it stay silent,
# but only for the same kind of operation.
_INFERENCE = "opentelemetry.genai.client.inference.context"
_TOLD = {
    semconv.CHAT: _INFERENCE,
    semconv.TEXT_COMPLETION: _INFERENCE,
    semconv.EMBEDDINGS: "opentelemetry.genai.client.embedding.context",
    semconv.FETCH_RESPONSE: "opentelemetry.genai.client.fetch_response.context",
}


def suppressed(context: Context) -> bool:
    """Whether calls in ``context`` are to be left alone."""
    return bool(context) and bool(
        context.get(_OURS) or context.get(_OTEL_UNIQUE) or context.get(_OTEL) or context.get(_LANGUAGE_MODEL)
    )


def told_above(context: Context, operation: str) -> bool:
    """Whether an open invocation of `opentelemetry-util-genai` tells this call, and so owns its span and tokens."""
    return bool(context) and context.get(_TOLD.get(operation, "")) is not None


def silence() -> None:
    """Switch the instrumentation off for a thread of ours, for good: what it does must not become telemetry."""
    for key in (_OURS, _OTEL, _OTEL_UNIQUE):
        otel_context.attach(otel_context.set_value(key, value=True))


@contextmanager
def suppress() -> Generator[None]:
    """Run a block of code uninstrumented: no span, no metric, no event, no ledger line for the calls in it."""
    token = None
    with _SUPPRESS:
        token = otel_context.attach(otel_context.set_value(_OURS, value=True))
    try:
        yield
    finally:
        with _SUPPRESS:
            if token is not None:
                otel_context.detach(token)
