# SPDX-License-Identifier: Apache-2.0
"""Switching the instrumentation off for a block of code: ours, and the keys that the field already uses."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.context import Context

_OURS = "otel_agent_suppress"
# Set by OTel's own exporters and by `opentelemetry.instrumentation.utils.suppress_instrumentation`.
_OTEL = "suppress_instrumentation"
# OpenLLMetry's key for "a layer above has told this model call already".
_LANGUAGE_MODEL = "suppress_language_model_instrumentation"


def suppressed(context: Context) -> bool:
    """Whether calls in ``context`` are to be left alone."""
    return bool(context) and bool(context.get(_OURS) or context.get(_OTEL) or context.get(_LANGUAGE_MODEL))


@contextmanager
def suppress() -> Iterator[None]:
    """Run a block of code uninstrumented: no span, no metric, no event, no ledger line for the calls in it."""
    token = otel_context.attach(otel_context.set_value(_OURS, value=True))
    try:
        yield
    finally:
        otel_context.detach(token)
