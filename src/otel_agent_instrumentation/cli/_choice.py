# SPDX-License-Identifier: Apache-2.0
"""Which runs a command is about: WHERE is a ledger file, a folder of them, or a run id (its beginning is enough)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .. import config, semconv
from ..ledger import reader
from ..ledger.segments import segments
from ._text import clean, plural, put
from ._tree import build

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from ..ledger.reader import RunFiles
    from ._tree import Tree

DONE, NOTHING = 0, 1
"""Exit codes of the commands that look at runs; 2 is a usage error, and for `diff` also that it found nothing."""
HELP = "a file, a folder or a run id (its beginning is enough)"
_LOOK_BACK = 20
"""How many of the newest runs are looked at for one that has spans; a process's own log may be newer than any run."""


def chosen(wanted: str | None) -> list[RunFiles]:
    """The one run that is asked for, or each run of a file; empty, and said so, where there is none.

    Without ``wanted``, or of a folder, it is the newest run. Raises `OSError`.
    """
    if wanted is not None and (path := Path(wanted)).exists() and not path.is_dir():
        return _in_file(path)
    folder, known = _known(wanted)
    if wanted is None or folder == Path(wanted):
        if not known:
            _none_in(folder)
        return [_newest(known)] if known else []
    matching = [run for run in known if run.run_id == wanted] or [run for run in known if run.run_id.startswith(wanted)]
    if len(matching) > 1:
        fail(f"{clean(wanted)}: {len(matching)} runs begin with that, the newest is taken")
    elif not matching:
        fail(f"{clean(wanted)}: neither a file nor a run in {clean(str(folder))}")
    return matching[:1]


def files_of(wanted: str | None) -> tuple[list[Path], str | None]:
    """Every file that is asked for, by default the ledger's, and the one run of them where a run is named.

    No file, and said so, where there is none. Raises `OSError`.
    """
    path = Path(wanted) if wanted is not None else None
    if path is not None and path.is_dir():
        files = segments(path)
    elif path is not None and path.exists():
        name = reader.run_by_name(path)
        # A run has a file for each of its processes. What a child process did is told before what waited for it.
        beside = [other for other in segments(path.parent) if reader.run_by_name(other) == name and other != path]
        return [*beside, path], None
    elif wanted is not None:
        run = chosen(wanted)
        return [file for one in run for file in one.files], run[0].run_id if run else None
    else:
        settings = config.load()
        shared, path = settings.ledger_path, Path(settings.ledger_dir)
        files = [*([Path(shared)] if shared and Path(shared).exists() else ()), *segments(path)]
    if not files:
        _none_in(path)
    return files, None


def every(wanted: str | None) -> list[RunFiles]:
    """Every run of a file or a folder, by default the ledger's, or the one that is named. Raises `OSError`."""
    if wanted is not None and not Path(wanted).is_dir():
        return chosen(wanted)
    folder, known = _known(wanted)
    if not known:
        _none_in(folder)
    return known[::-1]


def guarded(
    run: Callable[[argparse.Namespace], int], options: argparse.Namespace, where: str | None, *, code: int = NOTHING
) -> int:
    """``run(options)``; a file that cannot be read or written is told, and the exit code is ``code``."""
    try:
        return run(options)
    except BrokenPipeError:
        raise  # whoever reads our output has left, which is no fault of a ledger file
    except OSError as error:
        fail(f"{clean(str(error.filename or where or 'the ledger'))}: {error.strerror or error}")
        return code


def the_one(wanted: str | None) -> RunFiles | None:
    """The one run that is asked for; of a file with several the first, and that is said. Raises `OSError`."""
    found = chosen(wanted)
    if len(found) > 1:
        fail(f"{clean(str(wanted))}: {len(found)} runs are in it, the first is taken")
    return found[0] if found else None


def tree_of(run: RunFiles, to: str = "show") -> tuple[Tree | None, int]:
    """The tree of a run, and how many lines could not be read, which is said; None, and said so, where it has none.

    ``to``: what it is wanted for. Raises `OSError`.
    """
    events = reader.events(run)
    left_out(run, events.unreadable)
    tree = build(run.run_id, events.lines)
    if tree is None:
        fail(f"run {clean(run.run_id)}: nothing to {to}, only a resource, metrics or logs")
    return tree, events.unreadable


def left_out(run: RunFiles, unreadable: int) -> None:
    """Say how many lines of a run could not be read."""
    if unreadable:
        where = run.files[0].name if len(run.files) == 1 else plural(len(run.files), "file")
        fail(f"left out of {clean(where)}: {plural(unreadable, 'line')} that cannot be read")


def fail(message: str) -> int:
    """Say what is wrong on stderr."""
    put(f"otel-agent: {message}", sys.stderr)
    return NOTHING


def _none_in(folder: Path | None) -> None:
    fail(f"no run in {clean(str(folder))}: start an agent with `opentelemetry-instrument` first")


def _in_file(path: Path) -> list[RunFiles]:
    found = reader.runs_of(path)
    if not found:
        fail(f"{clean(str(path))}: no line of it can be read as an event")
    return found


def _known(wanted: str | None) -> tuple[Path, list[RunFiles]]:
    """Where runs are looked for, and those that are there."""
    if wanted is not None and Path(wanted).is_dir():
        return Path(wanted), reader.runs(Path(wanted))
    settings = config.load()
    folder, shared = Path(settings.ledger_dir), settings.ledger_path
    known = reader.runs_of(Path(shared))[::-1] if shared and Path(shared).exists() else []
    return Path(shared or folder), [*known, *reader.runs(folder)]


def _newest(known: list[RunFiles]) -> RunFiles:
    newest_first = sorted(known, key=lambda run: run.modified, reverse=True)
    for run in newest_first[:_LOOK_BACK]:
        heads = (head for file in run.files for head in reader.heads(file))
        if any(
            head is not None and head.event == semconv.EVENT_SPAN_ENDED and head.run_id == run.run_id for head in heads
        ):
            return run
    return newest_first[0]
