# SPDX-License-Identifier: Apache-2.0
"""OTel's current context, set and reset at the price of the context variable that holds it.

The API's `attach` and `detach` add a call and a guard each, twice for every chunk of a stream. The variable is private
to the API: where it is not what we know (another context implementation, a later API) the public functions are used.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, get_current_span, propagation, set_span_in_context

from .contain import guard

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span

attach: Callable[[Any], Any] = guard("context.attach", otel_context.attach)
"""Make a context current; returns the token for `detach`. Never raises: a context variable does not."""
detach: Callable[[Any], None] = otel_context.detach
"""Undo `attach`, in the context it was made in: elsewhere it raises `ValueError` or logs, see `engine.detach`."""
current: Callable[[], Context] = otel_context.get_current
"""The current context."""

_variable: ContextVar[Any] | None = getattr(getattr(otel_context, "_RUNTIME_CONTEXT", None), "_current_context", None)
if isinstance(_variable, ContextVar):
    attach, detach, current = _variable.set, _variable.reset, _variable.get

_KEY: str | None = getattr(propagation, "_SPAN_KEY", None)


def ids_in(context: Context) -> SpanContext | None:
    """The ids of the span that is current in ``context``; None where there is none."""
    if not context:
        return None
    span: Any = context.get(_KEY) if _KEY is not None else get_current_span(context)
    if span is None:
        return None
    ids: SpanContext | None = span.get_span_context()
    return ids if ids is not None and ids.is_valid else None


def with_span(context: Context, span: Span) -> Context:
    """``context`` with ``span`` current in it."""
    return Context({**context, _KEY: span}) if _KEY is not None else set_span_in_context(span, context)
