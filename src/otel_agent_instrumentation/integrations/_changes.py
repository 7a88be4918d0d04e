# SPDX-License-Identifier: Apache-2.0
"""A change of a file that is about to be made: whose run's, which file, and whether it is one that counts."""

from __future__ import annotations

import os
import os.path
import stat
import sys
from typing import TYPE_CHECKING, Any

from ..core.artifacts import artifacts_of
from ..core.engine import engine
from ..core.settings import current as settings
from ..redaction.policy import default_policy

if TYPE_CHECKING:
    from types import FrameType

    from .. import semconv
    from ..core.runs import Run

_Kwargs = dict[str, Any]
_LONGEST = 1024
_IGNORED = ("/__pycache__/", "/site-packages/", "/dist-packages/")
_SYSTEM = ("/dev/", "/proc/", "/sys/")
# Whose files are no work of the agent: the interpreter's temporary ones, and those of telemetry.
_EXEMPT = frozenset(
    {"tempfile", "importlib", "py_compile", "compileall", "opentelemetry", "otel_agent_instrumentation"}
)
# Whose calls are on behalf of somebody above.
_BETWEEN = frozenset({"pathlib", "shutil", "os", "codecs"})
_OURS = f"{__package__}."


class Change:
    """A change that is about to be made: whose, and where."""

    __slots__ = ("kind", "path", "run", "to")

    def __init__(self, run: Run, path: str, kind: semconv.ArtifactChange, to: str | None = None) -> None:
        self.run, self.path, self.to = run, path, to
        self.kind: semconv.ArtifactChange = kind

    def note(self) -> None:
        """It was made."""
        found = artifacts_of(self.run)
        if self.to is None:
            found.changed(_told(self.path), self.kind)
        else:
            found.moved(_told(self.path), _told(self.to), self.kind)


def look(path: Any, dir_fd: Any = None) -> Change | None:
    """Before it is opened for writing: whether it is there, and a file."""
    run = engine.active(settings().files)
    if run is None or _caller_is_exempt():
        return None
    full = _full(path, dir_fd)
    if full is None:
        return None
    mode = _mode_of(full)
    if mode is not None and not stat.S_ISREG(mode):
        return None  # a device, a pipe
    return Change(run, full, "created" if mode is None else "modified")


def look_away(path: Any, dir_fd: Any) -> Change | None:
    run = engine.active(settings().files)
    if run is None or _caller_is_exempt():
        return None
    full = _full(path, dir_fd)
    return Change(run, full, "deleted") if full is not None and _is_file(full) else None


def look_at_both(source: Any, target: Any, kwargs: _Kwargs) -> Change | None:
    run = engine.active(settings().files)
    if run is None or _caller_is_exempt():
        return None
    path, to = _full(source, kwargs.get("src_dir_fd")), _full(target, kwargs.get("dst_dir_fd"))
    if path is None or to is None or path == to or not _is_file(path):
        return None
    return Change(run, path, "created" if _mode_of(to) is None else "modified", to)


def _caller_is_exempt() -> bool:
    """Whether the code that asked for the file is none of the agent's."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - as in the standard library
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        home = name.partition(".")[0]
        if home not in _BETWEEN and not name.startswith(_OURS):
            return home in _EXEMPT
        frame = frame.f_back
    return False


def _full(path: Any, dir_fd: Any = None) -> str | None:
    """The absolute path that ``path`` means now; None where it is an open file, or one that nobody counts."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        return None
    name = os.fsdecode(path)  # pyright: ignore[reportUnknownArgumentType]
    try:
        if dir_fd is not None and not os.path.isabs(name):  # noqa: PTH117 - as text
            if sys.platform != "linux":
                return None
            name = f"{os.readlink(f'/proc/self/fd/{dir_fd}')}/{name}"  # noqa: PTH115 - as text
        name = os.path.abspath(name)  # noqa: PTH100 - as text
    except (OSError, ValueError):  # a working directory that is gone
        return None
    plain = name if os.sep == "/" else name.replace(os.sep, "/")
    if plain.endswith((".pyc", ".pyo")) or plain.startswith(_SYSTEM) or any(part in plain for part in _IGNORED):
        return None
    return name


def _mode_of(path: str) -> int | None:
    """The mode of what is there, a link followed; None where nothing is."""
    try:
        return os.stat(path).st_mode  # noqa: PTH116 - no `pathlib` here, that is patched, too
    except (OSError, ValueError):  # a name that cannot be one
        return None


def _is_file(path: str) -> bool:
    """Whether a regular file, or a link, is there."""
    try:
        mode = os.lstat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _told(path: str) -> str:
    """``path`` as it may be told: relative where it is below the working directory, redacted, bounded."""
    try:
        here = os.getcwd()  # noqa: PTH109 - as text
    except OSError:
        here = ""
    below = path[len(here) + 1 :] if here and path.startswith(here + os.sep) else path
    return default_policy().text(below)[:_LONGEST]
