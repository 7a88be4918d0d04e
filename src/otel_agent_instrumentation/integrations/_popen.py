# SPDX-License-Identifier: Apache-2.0
"""Wrappers around `subprocess.Popen` and `os.system`: a command's begin, and its end where the caller learns it."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from ..core import commands
from ..core.commands import Process, process_of
from ..core.contain import Contained
from ..core.engine import engine
from ..core.settings import current as settings
from . import _argv

if TYPE_CHECKING:
    from ..core.spec import Api, Call, Request

_Args = tuple[Any, ...]
_Kwargs = dict[str, Any]
_BEGIN = Contained("commands.begin")
_STARTED = Contained("commands.started")
_FAILED = Contained("commands.failed")
_LEARNT = Contained("commands.learnt")
_WAIT = Contained("commands.wait")


def _popen(instance: Any, args: _Args, kwargs: _Kwargs) -> tuple[Api, Request] | None:  # noqa: ARG001 - the engine's signature
    return (_argv.API, _argv.of_popen(args, kwargs)) if engine.active(settings().commands) is not None else None


def _line(instance: Any, args: _Args, kwargs: _Kwargs) -> tuple[Api, Request] | None:  # noqa: ARG001 - the engine's signature
    if engine.active(settings().commands) is None:
        return None
    return _argv.API, _argv.of_line(_argv.text(args[0] if args else kwargs.get("command")))


def start(wrapped: Any, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """`Popen.__init__`: a command begins."""
    call: Call | None = None
    with _BEGIN:
        call = engine.begin("commands", _popen, instance, args, kwargs)
    if call is None:
        return wrapped(*args, **kwargs)
    try:
        wrapped(*args, **kwargs)
    except BaseException as error:
        with _FAILED:
            commands.failed(call, error)
        raise
    with _STARTED:
        Process(call, instance)
        commands.started(call)
    return None


def system(wrapped: Any, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """`os.system`: a command from begin to end."""
    call: Call | None = None
    with _BEGIN:
        call = engine.begin("commands", _line, instance, args, kwargs)
        if call is not None:
            commands.started(call)
    if call is None:
        return wrapped(*args, **kwargs)
    try:
        status = wrapped(*args, **kwargs)
    except BaseException as error:
        with _FAILED:
            commands.failed(call, error)
        raise
    with _LEARNT:
        commands.exited(call, status if sys.platform == "win32" else os.waitstatus_to_exitcode(status))
    with _LEARNT:
        engine.end(call)
        commands.completed(call)
    return status


def poll(wrapped: Any, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """`Popen.poll`."""
    code = wrapped(*args, **kwargs)
    if not commands.live:
        return code
    with _LEARNT:
        process = process_of(instance)
        if process is not None and not process.looped:
            if code is None:
                process.seen()
            else:
                process.learnt(code)
    return code


def entered(instance: Any) -> Process | None:
    """The command that ``instance`` runs, if it is recorded: its caller begins to wait for it."""
    process: Process | None = None
    with _WAIT:
        process = process_of(instance)
        if process is not None:
            process.enter()
    return process


def wait(wrapped: Any, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """`Popen.wait`, `communicate` and `__exit__`, which may be within each other: the outermost tells."""
    if not commands.live:
        return wrapped(*args, **kwargs)
    here, process = threading.get_ident(), None
    with _WAIT:
        process = process_of(instance)
        if process is not None and process.waiter != here:
            process.enter()
        else:
            process = None
    if process is None:
        return wrapped(*args, **kwargs)
    process.waiter = here
    try:
        result = wrapped(*args, **kwargs)
    except BaseException as error:
        with _WAIT:
            process.waiter = 0
            process.leave(instance.returncode, error)
        raise
    with _WAIT:
        process.waiter = 0
        process.output(result)
    with _WAIT:
        process.leave(instance.returncode)
    return result
