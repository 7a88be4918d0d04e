# SPDX-License-Identifier: Apache-2.0
"""OTel's current context, set and reset at the price of the context variable that holds it.

The API's `attach` and `detach` add a call and a guard each, twice for every chunk of a stream. The variable is private
to the API: where it is not what we know (another context implementation, a later API) the public functions are used.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context

from .contain import guard

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

attach: Callable[[Any], Any] = guard("context.attach", otel_context.attach)
"""Make a context current; returns the token for `detach`. Never raises: a context variable does not."""
detach: Callable[[Any], None] = otel_context.detach
"""Undo `attach`, in the context it was made in: elsewhere it raises `ValueError` or logs, see `engine.detach`."""
current: Callable[[], Context] = otel_context.get_current
"""The current context."""

_variable: ContextVar[Any] | None = getattr(getattr(otel_context, "_RUNTIME_CONTEXT", None), "_current_context", None)
if isinstance(_variable, ContextVar):
    attach, detach, current = _variable.set, _variable.reset, _variable.get
