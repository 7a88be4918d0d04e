# SPDX-License-Identifier: Apache-2.0
"""Check ledger files: torn lines, gaps in the numbers, and the hash chain where there is one.

Exits with 0 where all is well, else with 1. A gap says that events were lost, or that the file of another run of the
same process is not among those that were given. A broken chain says that somebody changed the file.
"""

from __future__ import annotations

import gzip
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from .. import config, semconv
from ..envelope import line as envelope
from ..ledger import chain
from ._text import clean

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ..envelope.line import Line

_LONGEST_LINE = 64 * 1024 * 1024
_MOST_TOLD = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("path", nargs="*", help="files, or folders of them; by default the ledger's folder")


def run(options: argparse.Namespace) -> int:
    """Check the files and print what was found."""
    paths = [Path(path) for path in options.path] or [Path(config.load().ledger_dir)]
    found = _Found()
    for file in _files(paths):
        try:
            _check(file, found)
        except (OSError, EOFError) as error:
            found.problems.append(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})")
    if not found.files:
        sys.stderr.write(f"otel-agent: no ledger files in {clean(', '.join(map(str, paths)))}\n")
        return 1
    gaps = list(found.gaps())
    for problem in [*found.problems[:_MOST_TOLD], *gaps[:_MOST_TOLD]]:
        print(clean(problem))
    left = max(0, len(found.problems) - _MOST_TOLD) + max(0, len(gaps) - _MOST_TOLD)
    if left:
        print(f"... and {left} more")
    chained = f", {found.chained} in a chain" if found.chained else ", none in a chain"
    print(f"{found.lines} lines in {found.files} files{chained}: {len(found.problems) + len(gaps)} problems")
    return 1 if found.problems or gaps else 0


@dataclass(slots=True)
class _Found:
    files: int = 0
    lines: int = 0
    chained: int = 0
    problems: list[str] = field(default_factory=list[str])
    # By process: its numbers as ranges, in the order of reading.
    numbers: dict[tuple[int, str], list[list[int]]] = field(default_factory=dict[tuple[int, str], list[list[int]]])

    def number(self, process: tuple[int, str], seq: int) -> None:
        ranges = self.numbers.setdefault(process, [])
        if ranges and ranges[-1][1] + 1 == seq:
            ranges[-1][1] = seq
        else:
            ranges.append([seq, seq])

    def gaps(self) -> Iterator[str]:
        for (pid, _), ranges in self.numbers.items():
            reached = 0
            for first, last in sorted(ranges):
                if first > reached + 1:
                    count = first - reached - 1
                    yield f"process {pid}: {count} missing before number {first}"
                elif first <= reached:
                    yield f"process {pid}: number {first} is there twice"
                reached = max(reached, last)


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.iterdir() if file.name.endswith((".jsonl", ".jsonl.gz")))
        else:
            yield path


def _open(file: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(file)) if file.name.endswith(".gz") else file.open("rb")


def _check(file: Path, found: _Found) -> None:
    chains: dict[int, str] = {}
    owners: dict[int, str] = {}
    with _open(file) as opened:
        found.files += 1
        number = 0
        while data := opened.readline(_LONGEST_LINE):
            number += 1
            place = f"{file}:{number}"
            if not data.endswith(b"\n"):
                found.problems.append(f"{place}: the last line is torn")
                return
            if data.isspace():
                continue
            try:
                line = envelope.decode(data)
            except (ValueError, RecursionError):
                found.problems.append(f"{place}: no line of the ledger")
                continue
            found.lines += 1
            _look(line, data, place, found, chains, owners)


def _look(  # noqa: PLR0913, PLR0917 - what is known of the file so far
    line: Line, data: bytes, place: str, found: _Found, chains: dict[int, str], owners: dict[int, str]
) -> None:
    pid = line.pid or 0
    told, digest = chain.split(data)
    begins = line.event == semconv.EVENT_RESOURCE
    if begins:
        attributes: Any = line.payload.get("attributes")
        owners[pid] = str(attributes.get("service.instance.id", "")) if isinstance(attributes, dict) else ""  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    if line.seq is not None:
        found.number((pid, owners.get(pid, "")), line.seq)
    if digest is None:
        if pid in chains:
            found.problems.append(f"{place}: a line without a digest in the chain of process {pid}")
        return
    found.chained += 1
    before = str(line.payload.get(chain.BEFORE, "")) if begins else chains.get(pid)
    # A shared file that another process put aside goes on in the middle of this one's chain.
    if before is not None and not chain.holds(told, digest, before):
        found.problems.append(f"{place}: the chain of process {pid} is broken")
    chains[pid] = digest
