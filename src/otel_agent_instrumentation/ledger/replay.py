# SPDX-License-Identifier: Apache-2.0
"""What has been told since a position, from the files: how a client of the stream catches up."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from itertools import islice
from typing import IO, TYPE_CHECKING, NamedTuple

from . import positions, segments
from .follow import Told
from .reader import merge, read, run_by_name, time_ns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .follow import Place
    from .positions import Position

# A file's time is the system's clock at its last tick, a line's the clock itself; and disks keep it coarsely.
_COARSE_NS = 2 * 10**9


class Replayed(NamedTuple):
    """A line, and the position after it."""

    told: Told
    position: str


def since(position: Position, places: list[Place], folder: Path) -> Iterator[Replayed]:
    """The lines after ``position`` up to ``places``, merged by time, in bounded memory. Raises `OSError`."""
    sources: list[tuple[int, Iterator[tuple[int, Told]]]] = []
    for place in places:
        begin = position.offsets.get(place.key)
        if begin is None and place.written_ns + _COARSE_NS <= position.time_ns:
            continue
        if begin is not None and begin >= place.offset:
            continue
        wanted = _Wanted(place, begin or 0, position.time_ns if begin is None else -1, folder)
        first = next(islice(wanted.lines(), 1), None)
        if first is not None:
            sources.append((first.clock, ((told.clock, told) for told in wanted.lines())))
    yield from _placed(position, places, (told for _, told in merge(sources)))


def _placed(position: Position, places: list[Place], told: Iterator[Told]) -> Iterator[Replayed]:
    """Give each line the position after it: files that are done with, and were not named, need no name."""
    ends = {place.key: place.offset for place in places}
    named = dict(position.offsets)
    begun: dict[str, int] = {}
    done: dict[str, int] = {}
    time_ns = position.time_ns
    for one in told:
        if done and one.clock - 1 > max(done.values()):
            for key in done:
                del begun[key]
            done.clear()
        if not done:
            time_ns = max(time_ns, one.clock - 1)
        if one.key in named:
            named[one.key] = one.end
        else:
            begun[one.key] = one.end
            if one.end >= ends[one.key]:
                done[one.key] = one.clock
        yield Replayed(one, positions.write(time_ns, [*named.items(), *begun.items()]))


class _Wanted(NamedTuple):
    """The lines of one file that are wanted: from a byte on, those after a time."""

    place: Place
    begin: int
    after: int
    folder: Path

    def lines(self) -> Iterator[Told]:
        with ExitStack() as stack:
            stream = self._opened(stack)
            if stream is not None:
                yield from self._in(stream)

    def _in(self, stream: IO[bytes]) -> Iterator[Told]:
        run_id, clock = run_by_name(self.place.path), 0
        for data, end in segments.raw(stream, self.begin):
            if end > self.place.offset:
                return
            told = read(data, run_id) if data is not None else None
            if told is None:
                continue
            clock = max(clock, time_ns(told[0]))
            if clock > self.after:
                yield Told(clock, self.place.key, end, *told)

    def _opened(self, stack: ExitStack) -> IO[bytes] | None:
        """The file, wherever a rotation or a compression has moved it meanwhile; None: it was removed."""
        for path in (self.place.path, *segments.segments(self.folder)):
            with suppress(OSError), ExitStack() as opening:
                stream = opening.enter_context(segments.opened(path))
                if segments.key(stream, path.name) == self.place.key:
                    stream.seek(0)
                    stack.push(opening.pop_all())
                    return stream
        return None
