# SPDX-License-Identifier: Apache-2.0
"""Who follows a folder is told each line once, whatever becomes of the files; a position leads back to any place."""

from __future__ import annotations

import gzip
import json
import os
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from ledger_lines import line
from otel_agent_instrumentation.ledger import follow, positions, replay
from otel_agent_instrumentation.ledger.follow import Follower

if TYPE_CHECKING:
    from pathlib import Path


def now(event: str, **keys: Any) -> dict[str, Any]:
    return line(event, {}, **{"time_unix_nano": time.time_ns(), **keys})


def add(file: Path, *events: str | bytes, **keys: Any) -> Path:
    with file.open("ab") as opened:
        for one in events:
            opened.write(one if isinstance(one, bytes) else json.dumps(now(one, **keys)).encode() + b"\n")
    return file


def names(found: list[follow.Told]) -> list[str]:
    return [one.head.event for one in found]


def compress(file: Path) -> None:
    file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()


def test_begins_at_the_end_and_tells_what_comes(tmp_path):
    file = add(tmp_path / "a.jsonl", "before")
    follower = Follower(tmp_path)
    assert names(follower.poll()) == []
    add(file, "one", "two")
    add(tmp_path / "b.jsonl", "three")
    assert names(follower.poll()) == ["one", "two", "three"]
    assert names(follower.poll()) == []


def test_a_torn_line_is_told_when_it_is_whole(tmp_path):
    file = add(tmp_path / "a.jsonl", "first")
    follower = Follower(tmp_path)
    data = json.dumps(now("late")).encode() + b"\n"
    add(file, data[:50])
    assert names(follower.poll()) == []
    add(file, data[50:])
    assert names(follower.poll()) == ["late"]
    add(file, data[:50] + b"\n", "healed")
    assert (names(follower.poll()), follower.unreadable) == (["healed"], 1)


def test_begins_before_a_line_that_is_being_written(tmp_path):
    data = json.dumps(now("late")).encode() + b"\n"
    file = add(tmp_path / "a.jsonl", "first", data[:50])
    follower = Follower(tmp_path)
    add(file, data[50:])
    assert names(follower.poll()) == ["late"]


@pytest.mark.parametrize("packed", [False, True])
def test_rotation_loses_and_doubles_nothing(packed, tmp_path):
    file = add(tmp_path / "a.jsonl", "one")
    follower = Follower(tmp_path, from_start=True)
    found = names(follower.poll())
    for number in range(1, 4):
        add(file, f"last of {number}")
        aside = tmp_path / f"a.{number}.jsonl"
        file.rename(aside)
        add(file, f"first after {number}")
        if packed:
            compress(aside)
        found += names(follower.poll())
        if not packed:
            compress(aside)
    found += names(follower.poll())
    assert found == ["one"] + [f"{what} {n}" for n in range(1, 4) for what in ("last of", "first after")]


def test_a_file_that_is_begun_anew_is_read_from_its_start(tmp_path):
    file = add(tmp_path / "a.jsonl", "one", "two")
    follower = Follower(tmp_path)
    file.write_bytes(b"")
    assert names(follower.poll()) == []
    add(file, "three")
    assert names(follower.poll()) == ["three"]
    file.unlink()
    assert names(follower.poll()) == []
    add(file, "four", "five", "six")
    assert names(follower.poll()) == ["four", "five", "six"]


def test_one_file_can_be_followed_before_it_is_there(tmp_path):
    follower = Follower(tmp_path / "all.jsonl")
    assert follower.poll() == []
    add(tmp_path / "all.jsonl", "one")
    assert names(follower.poll()) == ["one"]


def test_much_at_once_is_read_a_piece_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(follow, "_AT_ONCE", 2000)
    add(tmp_path / "a.jsonl", *[f"e{number}" for number in range(100)])
    follower = Follower(tmp_path, from_start=True)
    first = names(follower.poll())
    assert 0 < len(first) < 20
    found = list(first)
    while follower.more:
        found += names(follower.poll())
    assert found == [f"e{number}" for number in range(100)]


def test_a_position_is_a_word_and_garbage_is_none():
    told = positions.Position(17, {"0123456789abcdef": 255})
    word = positions.write(told.time_ns, told.offsets.items())
    assert positions.read(word) == told
    assert word.replace(".", "").replace("-", "").isalnum()
    assert positions.read("2026-11-21T08:00:00Z").time_ns == 1_795_248_000_000_000_000
    assert positions.read("1795248000").time_ns == 1_795_248_000_000_000_000
    for bad in ("", ".", "p1", "p1.", "p1.x", "p1.1.zz", "p1.1.0123456789abcdef", "yesterday", "1.2.3", "-5"):
        with pytest.raises(ValueError, match="neither a position"):
            positions.read(bad)


def since(word: str, folder: Path) -> list[replay.Replayed]:
    follower = Follower(folder)
    return list(replay.since(positions.read(word), follower.places(), folder))


def test_everything_is_told_by_time_from_the_beginning(tmp_path):
    for number in range(30):
        add(tmp_path / f"{'abc'[number % 3]}.jsonl", f"e{number}")
    assert [one.told.head.event for one in since("0", tmp_path)] == [f"e{number}" for number in range(30)]


def test_each_position_leads_to_what_comes_after_it(tmp_path):
    """Any interleaving of appends, rotations and compressions, resumed at any place, is told once and in order."""
    dice = random.Random(7)  # noqa: S311 - a test
    rotated = dict.fromkeys("abcd", 0)
    for number in range(120):
        name = dice.choice("abcd")
        file = add(tmp_path / f"{name}.jsonl", f"{name}{number}")
        if dice.random() < 0.1:
            rotated[name] += 1
            file.rename(tmp_path / f"{name}.{rotated[name]}.jsonl")
    whole = since("0", tmp_path)
    assert len(whole) == 120
    for file in list(tmp_path.glob("?.*.jsonl"))[::2]:
        compress(file)
    for at in range(0, 120, 11):
        rest = since(whole[at].position, tmp_path)
        assert [one.told.data for one in rest] == [one.told.data for one in whole[at + 1 :]]


def test_a_position_names_only_files_that_were_written_to_lately(tmp_path):
    old = add(tmp_path / "old.jsonl", "old", time_unix_nano=time.time_ns() - 3600 * 10**9)
    add(tmp_path / "new.jsonl", "new")
    os.utime(old, (time.time() - 3600, time.time() - 3600))
    active = Follower(tmp_path).active()
    assert len(active) == 1
    # What an old file is given now is told to who comes back.
    word = positions.write(time.time_ns() - follow.MARGIN_NS, active.items())
    add(old, "woken")
    assert [one.told.head.event for one in since(word, tmp_path)] == ["woken"]
