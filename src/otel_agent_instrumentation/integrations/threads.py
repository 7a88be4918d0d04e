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

    from ..core.runs import Place

_CARRY = Contained("threads.carry")
_POOL = "concurrent.futures.thread"


class _Carried:
    """A function that runs in the run and context of whoever handed it over. One frame more in a traceback."""

    __slots__ = ("context", "function", "place", "thread")

    def __init__(self, place: Place, function: Callable[..., Any], thread: Any = None) -> None:
        self.place = place
        self.context = otel_context.get_current()
        self.function = function
        self.thread: Any = thread

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        token = attached = None
        with _CARRY:
            if self.thread is not None:
                self._give_back()
            token = runs.put(self.place)
            attached = otel_context.attach(self.context)
        try:
            return self.function(*args, **kwargs)
        finally:
            with _CARRY:
                if attached is not None:
                    otel_context.detach(attached)
                if token is not None:
                    runs.reset_current(token)

    def _give_back(self) -> None:
        """The thread's `run` is what it was: the class's, or what somebody set on the instance."""
        thread, self.thread = self.thread, None
        del thread.run
        if thread.run != self.function:
            thread.run = self.function


def _submit(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - wrapt's signature
    given = args
    with _CARRY:
        place = runs.place()
        if place is not None and args:
            given = (_Carried(place, args[0]), *args[1:])
    return wrapped(*given, **kwargs)


def _start(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with _CARRY:
        place = runs.place()
        # One that was started, or whose `__init__` never ran, is about to fail: it keeps what it has.
        if place is not None and getattr(instance, "_ident", place) is None:
            target = getattr(instance, "_target", None)
            if getattr(target, "__module__", "") != _POOL and not instance.name.startswith(("otel-agent", "Otel")):
                # On the instance: a subclass may override `run` without calling ours. It removes itself.
                instance.run = _Carried(place, instance.run, instance)
    return wrapped(*args, **kwargs)


INTEGRATION = Integration(
    name="threads",
    distribution="",
    seams=(
        Seam("concurrent.futures.thread", "ThreadPoolExecutor.submit", _submit, "runs in executors"),
        Seam("threading", "Thread.start", _start, "runs in threads"),
    ),
)
