# SPDX-License-Identifier: Apache-2.0
"""Marks the threads that deliver telemetry: what they do must not become telemetry again."""

from __future__ import annotations

import _thread
import contextlib
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context

if TYPE_CHECKING:
    from collections.abc import Generator

# What `opentelemetry.instrumentation.utils.suppress_instrumentation` sets; importing that costs 60 ms (wrapt, asyncio).
# Some instrumentors look at the API's private key only, ours and others at the plain word.
_PLAIN = "suppress_instrumentation"
_KEYS = (_PLAIN, str(getattr(otel_context, "_SUPPRESS_INSTRUMENTATION_KEY", _PLAIN)))

_delivering: set[int] = set()


def delivering() -> bool:
    """Whether the current thread delivers telemetry."""
    return _thread.get_ident() in _delivering


@contextlib.contextmanager
def on_duty() -> Generator[None, None, None]:
    """Mark the current thread, and switch all instrumentation off in it."""
    me = _thread.get_ident()
    context = otel_context.get_current()
    for key in _KEYS:
        context = otel_context.set_value(key, value=True, context=context)
    token = otel_context.attach(context)
    _delivering.add(me)
    try:
        yield
    finally:
        _delivering.discard(me)
        otel_context.detach(token)
