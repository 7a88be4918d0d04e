# SPDX-License-Identifier: Apache-2.0
"""Threads and executors: work handed to another thread belongs to the run that handed it over.

Context variables do not follow `Thread.start` and `ThreadPoolExecutor.submit` (they do follow `asyncio.to_thread` and
tasks). Carried per submission, never per worker: a pool's thread that is reused inherits nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context

from ..core import runs
from ..core.contain import Contained
from ..core.patching import Integration, Seam

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

    from ..core.runs import Run

_CARRY = Contained("threads.carry")
_POOL = "concurrent.futures.thread"


class _Carried:
    """A function that runs in the run and context of whoever handed it over."""

    __slots__ = ("context", "function", "run")

    def __init__(self, run: Run, context: Context, function: Callable[..., Any]) -> None:
        self.run = run
        self.context = context
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        token, attached = runs.set_current(self.run), otel_context.attach(self.context)
        try:
            return self.function(*args, **kwargs)
        finally:
            otel_context.detach(attached)
            runs.reset_current(token)


def _submit(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - wrapt's signature
    run = runs.current()
    if run is not None and args:
        args = (_Carried(run, otel_context.get_current(), args[0]), *args[1:])
    return wrapped(*args, **kwargs)


def _start(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    run = runs.current()
    if run is not None:
        with _CARRY:
            target = getattr(instance, "_target", None)
            if getattr(target, "__module__", "") != _POOL and not instance.name.startswith(("otel-agent", "Otel")):
                # On the instance: a subclass may override `run` without calling ours. It removes itself.
                instance.run = _Once(instance, _Carried(run, otel_context.get_current(), instance.run))
    return wrapped(*args, **kwargs)


class _Once:
    __slots__ = ("_carried", "_thread")

    def __init__(self, thread: Any, carried: _Carried) -> None:
        self._thread = thread
        self._carried = carried

    def __call__(self) -> Any:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.__dict__.pop("run", None)
        return self._carried()


INTEGRATION = Integration(
    name="threads",
    distribution="",
    seams=(
        Seam("concurrent.futures.thread", "ThreadPoolExecutor.submit", _submit, "runs in executors"),
        Seam("threading", "Thread.start", _start, "runs in threads"),
    ),
)
