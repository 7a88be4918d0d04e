# SPDX-License-Identifier: Apache-2.0
"""The reader finds every file of a run and every line that can be read, and counts the others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ledger_lines import BEGAN, RUN, line, root, write
from otel_agent_instrumentation.core.runs import Run
from otel_agent_instrumentation.ledger import reader, segments
from otel_agent_instrumentation.ledger.lines import Event
from otel_agent_instrumentation.ledger.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path


def names(found: reader.Events) -> list[str]:
    return [one.event for one in found.lines]


def only(folder: Path) -> reader.RunFiles:
    (run,) = reader.runs(folder)
    return run


def test_reads_what_the_writer_wrote(tmp_path):
    writer = Writer(str(tmp_path / "ledger"), None, {"service.name": "coder"}, "coder")
    for run_id in ("one", "two/../three"):
        writer.write(Event("plan.generated", BEGAN, {"redacted_fields": []}, Run(run_id, "coder")))
    writer.close(30)
    found = {run.run_id: reader.events(run) for run in reader.runs(tmp_path / "ledger")}
    assert {run_id: names(events) for run_id, events in found.items()} == {
        "one": ["resource", "plan.generated"],
        "two/../three": ["resource", "plan.generated"],
    }


def test_a_folder_that_is_not_there_has_no_runs(tmp_path):
    assert reader.runs(tmp_path / "nowhere") == []


def test_merges_the_files_of_all_processes_and_rotations_by_time(tmp_path):
    write(tmp_path / f"{RUN}.jsonl", [line("a", {}, 1), line("d", {}, 4)])
    write(tmp_path / f"{RUN}.77-{BEGAN}.jsonl", [line("b", {}, 2, pid=77)])
    write(tmp_path / f"{RUN}.77-{BEGAN}.1.jsonl", [line("c", {}, 3, pid=77)])
    write(tmp_path / f"{RUN}0.jsonl", [line("other", {}, 2, run_id=f"{RUN}0")])
    run = next(run for run in reader.runs(tmp_path) if run.run_id == RUN)
    assert names(reader.events(run)) == ["a", "b", "c", "d"]
    for file in run.files:
        (again,) = reader.runs_of(file)
        assert (again.run_id, set(again.files)) == (RUN, set(run.files))


def test_a_run_id_with_dots_is_not_taken_for_a_rotation(tmp_path):
    for run_id in ("v1", "v1.2", "v1.2.3"):
        write(tmp_path / f"{run_id}.jsonl", [line("x", {}, run_id=run_id)])
    assert {run.run_id: len(run.files) for run in reader.runs(tmp_path)} == {"v1": 1, "v1.2": 1, "v1.2.3": 1}
    # By its name alone `v1.2.jsonl` could be a rotation of `v1`: its lines say that it is not.
    (run,) = reader.runs_of(tmp_path / "v1.jsonl")
    assert names(reader.events(run)) == ["x"]


def test_a_shared_file_holds_many_runs(tmp_path):
    file = write(tmp_path / "all.jsonl", [line(event, {}, run_id=run) for event, run in ("xa", "yb", "za")])
    assert {run.run_id: names(reader.events(run)) for run in reader.runs_of(file)} == {"a": ["x", "z"], "b": ["y"]}


def test_the_newest_run_comes_first(tmp_path):
    for age, run_id in enumerate(("new", "old", "older")):
        file = write(tmp_path / f"{run_id}.jsonl", [line("x", {}, run_id=run_id)])
        os.utime(file, (1_000_000 - age, 1_000_000 - age))
    assert [run.run_id for run in reader.runs(tmp_path)] == ["new", "old", "older"]


BAD = {
    "torn": b'{"schema_version":"1.0","timest\n',
    "torn at the end": b'{"schema_version":"1.0","timest',
    "no JSON": b"Traceback (most recent call last):\n",
    "zeros after a crash": b"\0" * 4096 + b"\n",
    "not UTF-8": b'{"schema_version":"\xff"}\n',
    "a list": b"[1,2]\n",
    "another log's line": b'{"level":"info","msg":"hello"}\n',
    "nested without end": b"[" * 100_000 + b"\n",
    "a wrong type": b'{"schema_version":"1.0","timestamp":"t","source":"s","run_id":7,'
    b'"cycle":0,"event":"e","payload":{},"tags":{}}\n',
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_line_that_cannot_be_read_is_counted_and_passed_over(bad, tmp_path):
    write(tmp_path / "x.jsonl", [line("before", {}, 1), b"\n", bad, b"\n", line("after", {}, 2)])
    found = reader.events(only(tmp_path))
    # Without a newline of its own, a torn line takes the blank line's.
    assert (names(found), found.unreadable) == (["before", "after"], 1)


def test_an_endless_line_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "LONGEST_LINE", 1000)
    write(tmp_path / "x.jsonl", [line("before", {}, 1), b"x" * 12_345 + b"\n", line("after", {}, 2)])
    found = reader.events(only(tmp_path))
    assert (names(found), found.unreadable) == (["before", "after"], 1)


def test_reads_lines_of_other_versions_and_of_other_writers(tmp_path):
    newer = line("new", {}, 2, schema_version="1.7", unheard_of={"a": 1})
    plain = {key: value for key, value in line("plain", {}, 1, tags=["a", "b"]).items() if key != "time_unix_nano"}
    write(tmp_path / "x.jsonl", [newer, plain])
    assert names(reader.events(only(tmp_path))) == ["plain", "new"]


@pytest.mark.parametrize(
    ("told", "time_ns"),
    [("2026-11-21T08:00:00.000Z", BEGAN), ("2026-11-21T09:00:00.250+01:00", BEGAN + 250_000_000), ("soon", 0), ("", 0)],
)
def test_tells_the_time_of_a_line_without_nanoseconds(told, time_ns, tmp_path):
    plain = {key: value for key, value in line("x", {}, timestamp=told).items() if key != "time_unix_nano"}
    (found,) = reader.lines(write(tmp_path / "x.jsonl", [plain]))
    assert found is not None
    assert reader.time_ns(found) == time_ns


def test_a_file_without_a_readable_line_is_a_run_by_its_name(tmp_path):
    write(tmp_path / f"{RUN}.77-1.2.jsonl", [b"garbage\n"])
    run = only(tmp_path)
    assert (run.run_id, reader.events(run).unreadable) == (RUN, 1)


def test_what_is_no_file_is_no_run(tmp_path):
    (tmp_path / "folder.jsonl").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")  # reading it would wait for a writer
    (tmp_path / "dangling.jsonl").symlink_to(tmp_path / "nowhere")
    write(tmp_path / "notes.txt", [root(1)])
    assert reader.runs(tmp_path) == []
