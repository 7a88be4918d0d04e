# SPDX-License-Identifier: Apache-2.0
"""Files that an active run creates, modifies or deletes: patched at the first such run, and looked at then alone.

No audit hook: it cannot be removed, and slows every `id()` and `import`. So what C code opens by itself (sqlite3, a
library of its own) and what other processes do is not seen.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from ..core.contain import Contained
from ..core.patching import Integration, Seam
from . import _changes

if TYPE_CHECKING:
    from collections.abc import Callable


_Args = tuple[Any, ...]
_Kwargs = dict[str, Any]
_LOOK = Contained("files.look")
_NOTE = Contained("files.note")
_WRITES = frozenset("wax+")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _open(wrapped: Any, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:  # noqa: ARG001 - wrapt's signature
    mode = args[1] if len(args) > 1 else kwargs.get("mode", "r")
    change = None
    if type(mode) is str and not _WRITES.isdisjoint(mode):
        with _LOOK:
            # An opener opens something of its own, by `os.open`.
            if kwargs.get("opener") is None and len(args) < 8:  # noqa: PLR2004 - the opener's place
                change = _changes.look(args[0] if args else kwargs.get("file"))
    result = wrapped(*args, **kwargs)
    if change is not None:
        with _NOTE:
            change.note()
    return result


def _os_open(wrapped: Any, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:  # noqa: ARG001 - wrapt's signature
    flags = args[1] if len(args) > 1 else kwargs.get("flags", 0)
    change = None
    if type(flags) is int and flags & _WRITING:
        with _LOOK:
            change = _changes.look(args[0] if args else kwargs.get("path"), kwargs.get("dir_fd"))
    result = wrapped(*args, **kwargs)
    if change is not None:
        with _NOTE:
            change.note()
    return result


def _remove(wrapped: Any, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:  # noqa: ARG001 - wrapt's signature
    change = None
    with _LOOK:
        change = _changes.look_away(args[0] if args else kwargs.get("path"), kwargs.get("dir_fd"))
    result = wrapped(*args, **kwargs)
    if change is not None:
        with _NOTE:
            change.note()
    return result


def _rename(wrapped: Any, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:  # noqa: ARG001 - wrapt's signature
    change = None
    with _LOOK:
        source = args[0] if args else kwargs.get("src")
        target = args[1] if len(args) > 1 else kwargs.get("dst")
        change = _changes.look_at_both(source, target, kwargs)
    result = wrapped(*args, **kwargs)
    if change is not None:
        with _NOTE:
            change.note()
    return result


def _seams() -> tuple[Seam, ...]:
    table: list[tuple[str, str, Callable[..., Any]]] = [
        ("builtins", "open", _open),
        ("io", "open", _open),
        ("os", "open", _os_open),
        *(("os", name, _rename) for name in ("rename", "replace")),
        *(("os", name, _remove) for name in ("remove", "unlink")),
    ]
    if sys.version_info < (3, 11):
        # There `pathlib` keeps these functions from its import on; since 3.11 it looks them up in `io` and `os`.
        table += [
            ("pathlib", "Path.open", _path(_open)),
            ("pathlib", "Path.unlink", _path(_remove)),
            *(("pathlib", f"Path.{name}", _path(_rename)) for name in ("rename", "replace")),
        ]
    return tuple(Seam(module, name, wrapper, "files") for module, name, wrapper in table)


def _path(wrapper: Callable[..., Any]) -> Callable[..., Any]:
    def of_method(wrapped: Any, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
        def method(_: Any, *rest: Any, **named: Any) -> Any:
            return wrapped(*rest, **named)

        return wrapper(method, None, (instance, *args), kwargs)

    return of_method


INTEGRATION = Integration(name="files", distribution="", seams=_seams())
