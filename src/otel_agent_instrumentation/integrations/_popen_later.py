# SPDX-License-Identifier: Apache-2.0
"""Wrappers around asyncio's subprocesses: their `Popen` begins the command, their loop learns its end first."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from ..core.commands import process_of
from ..core.contain import Contained
from ._popen import entered

if TYPE_CHECKING:
    from ..core.commands import Process

_Args = tuple[Any, ...]
_Kwargs = dict[str, Any]
_STARTED = Contained("commands.started")
_LEARNT = Contained("commands.learnt")
_WAIT = Contained("commands.wait")


async def wait_later(wrapped: Any, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """The same for `asyncio.subprocess.Process`, whose transport knows the `Popen`."""
    process: Process | None = None
    with _WAIT:
        process = entered(instance._transport.get_extra_info("subprocess"))  # noqa: SLF001 - set since 3.3
    if process is None:
        return await wrapped(*args, **kwargs)
    try:
        result = await wrapped(*args, **kwargs)
    except BaseException as error:
        with _WAIT:
            process.leave(None, error)
        raise
    with _WAIT:
        process.output(result)
    with _WAIT:
        process.leave(instance.returncode)
    return result


def own(wrapped: Any, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """The transport's `__init__`: its `Popen` is the loop's, whose child watcher alone knows the true exit code."""
    result = wrapped(*args, **kwargs)
    with _STARTED:
        process = process_of(instance._proc)  # noqa: SLF001 - set by the line that starts it
        if process is not None:
            process.looped = True
    return result


def exited(wrapped: Any, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """The loop knows the exit code; the caller does when it waits, or at once if it gave a protocol of its own."""
    process: Process | None = None
    with _LEARNT:
        process = process_of(instance._proc)  # noqa: SLF001 - taken away once all pipes are closed
        if process is not None:
            process.known = args[0], time.perf_counter_ns()
            stream = any(kind.__name__ == "SubprocessStreamProtocol" for kind in type(instance.get_protocol()).__mro__)
            process = None if stream else process
    result = wrapped(*args, **kwargs)
    with _LEARNT:
        if process is not None:
            process.learnt(args[0])
    return result


def returncode(wrapped: Any, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """The transport's `get_returncode`, which `Process.returncode` reads."""
    code = wrapped(*args, **kwargs)
    with _LEARNT:
        process = process_of(instance.get_extra_info("subprocess"))
        if process is not None and code is not None:
            process.learnt(code)
    return code


def close(wrapped: Any, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """The transport kills its process: also when the call that makes it is cancelled, which is told here alone."""
    with _LEARNT:
        error = sys.exc_info()[1]
        process = process_of(instance._proc)  # noqa: SLF001
        if process is not None and process.known is None and type(error).__name__ == "CancelledError":
            process.interrupted = "CancelledError", ""
    return wrapped(*args, **kwargs)
