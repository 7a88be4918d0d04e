# SPDX-License-Identifier: Apache-2.0
"""The ledger's writer where things go wrong: disks, links, processes that are killed. Nothing is lost unseen."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_instrumentation.cli import main
from otel_agent_instrumentation.core.runs import Run
from otel_agent_instrumentation.ledger import reader
from otel_agent_instrumentation.ledger.buffer import Limits
from otel_agent_instrumentation.ledger.keeping import Rules
from otel_agent_instrumentation.ledger.lines import Event
from otel_agent_instrumentation.ledger.writer import Writer
from suite_policy import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = Run("lw", "coder")
PROCESSES = ROOT / "tests" / "tools" / "ledger_processes.py"


def event(number: int, size: int = 10, run: Run = RUN) -> Event:
    return Event("a.b", number + 1, {"n": number, "text": "x" * size, "redacted_fields": []}, run)


def writer(folder: Path, shared: Path | None = None, limits: Limits | None = None, **rules: Any) -> Writer:
    chain = rules.pop("chain", False)
    return Writer(
        str(folder), str(shared) if shared else None, {"service.name": "s"}, "s", limits, Rules(**rules), chain=chain
    )


def read(*files: Path) -> Iterator[dict[str, Any]]:
    """All lines that are lines."""
    for file in files:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        for line in data.split(b"\n"):
            try:
                yield json.loads(line)
            except ValueError:
                continue


def numbers(*files: Path) -> list[int]:
    return sorted(line["payload"]["n"] for line in read(*files) if line["event"] == "a.b")


def put(to: Writer, *which: int, size: int = 10) -> None:
    for number in which:
        assert to.write(event(number, size))
    assert to.flush(30)


@pytest.mark.faults
@pytest.mark.logs
def test_a_folder_that_cannot_be_written_is_counted_and_tried_again(tmp_path):
    (tmp_path / "logs").write_text("in the way")
    to = writer(tmp_path / "logs")
    put(to, 0, 1)
    assert to.lost() == {"write_failed": 2}
    (tmp_path / "logs").unlink()
    put(to, 2)
    to.close(30)
    (file,) = (tmp_path / "logs").iterdir()
    assert [(line["event"], line["seq"]) for line in read(file)] == [("resource", 3), ("a.b", 4)]


def test_a_file_that_is_deleted_is_begun_anew(tmp_path):
    to = writer(tmp_path)
    put(to, 0)
    (tmp_path / "lw.jsonl").unlink()
    put(to, 1)
    to.close(30)
    assert [line["event"] for line in read(tmp_path / "lw.jsonl")] == ["resource", "a.b"]
    assert numbers(tmp_path / "lw.jsonl") == [1]
    assert to.lost() == {}


@pytest.mark.faults
@pytest.mark.logs
def test_a_link_in_the_files_place_is_not_followed(tmp_path):
    to = writer(tmp_path / "logs")
    put(to, 0)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "logs" / "lw.jsonl").unlink()
    (tmp_path / "logs" / "lw.jsonl").symlink_to(victim)
    put(to, 1)
    to.close(30)
    assert victim.read_text() == "precious"
    assert to.lost() == {"write_failed": 1}


def test_a_file_that_is_closed_for_another_says_whose_it_is_but_once(tmp_path):
    to = writer(tmp_path)
    runs = [Run(f"lw{number}", "coder") for number in range(80)]
    for _ in range(2):
        for number, run in enumerate(runs):
            assert to.write(event(number, run=run))
    to.close(30)
    for run in runs:
        assert [line["event"] for line in read(tmp_path / f"{run.id}.jsonl")] == ["resource", "a.b", "a.b"]


FULL = """
import resource, signal, sys
from otel_agent_instrumentation import emit_event, flush
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for number in range(400):
    assert emit_event("a.b", {"n": number, "text": "x" * 100})
    if number % 50 == 0:
        flush(10)
flush(10)
print("done", flush=True)
"""


def test_a_full_disk_costs_lines_and_not_the_agent(tmp_path):
    # A write beyond the limit is first a short one, then an error, as on a full disk.
    done = subprocess.run(
        [sys.executable, "-c", FULL], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "done\n"
    (file,) = (tmp_path / "logs" / "telemetry").iterdir()
    kept = numbers(file)
    assert kept == list(range(len(kept)))
    assert 30 < len(kept) < 400
    assert f"{400 - len(kept)} events could not be written" in done.stderr
    assert done.stderr.count("cannot be written (") == 1


def test_what_finds_no_room_is_counted_and_leaves_a_gap_of_that_width(tmp_path):
    to = writer(tmp_path, limits=Limits(bytes=10_000, interval=30))
    taken = [to.write(event(number, 1_000)) for number in range(50)]
    assert to.flush(30)
    assert to.write(event(50, 1_000))
    assert not to.write(event(51, 20_000))
    put(to, 52)
    to.close(30)
    assert to.lost() == {"queue_full": taken.count(False), "too_large": 1}
    assert 0 < taken.count(False) < 50
    seqs = [line["seq"] for line in read(tmp_path / "lw.jsonl")]
    assert seqs == sorted(set(seqs))
    assert seqs[-1] == len(seqs) + to.dropped


def test_with_block_nothing_is_lost_for_want_of_room(tmp_path):
    to = writer(tmp_path, limits=Limits(bytes=10_000, block=True))
    for number in range(200):
        assert to.write(event(number, 1_000))
    to.close(30)
    assert numbers(tmp_path / "lw.jsonl") == list(range(200))
    assert to.lost() == {}


@pytest.mark.faults
def test_a_sink_that_fails_costs_nobody_else(tmp_path):
    got: list[bytes] = []

    def bad(*_: object) -> None:
        raise ValueError("mine")

    to = writer(tmp_path)
    to.sinks += [bad, lambda _, data: got.append(data)]
    put(to, 0, 1)
    to.close(30)
    assert b"".join(got) == (tmp_path / "lw.jsonl").read_bytes()


def test_full_files_are_put_aside_and_compressed_and_the_reader_finds_all(tmp_path):
    to = writer(tmp_path, rotate_bytes=20_000, compress=True)
    for number in range(40):
        put(to, number, size=2_000)
    to.close(30)
    aside = sorted(file for file in tmp_path.iterdir() if file.name != "lw.jsonl")
    assert [file.name for file in aside] == [f"lw.{number}.jsonl.gz" for number in range(1, len(aside) + 1)]
    assert len(aside) >= 3
    assert numbers(*tmp_path.iterdir()) == list(range(40))
    assert all(next(read(file))["event"] == "resource" for file in tmp_path.iterdir())


def test_the_oldest_files_are_removed_and_never_a_fresh_one(tmp_path):
    for number in range(6):
        file = tmp_path / f"old{number}.jsonl"
        file.write_text("{}\n")
        then = time.time() - 1000 * (6 - number)
        os.utime(file, (then, then))
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "fresh.jsonl").write_text("{}\n")
    to = writer(tmp_path, keep_files=4)
    put(to, 0)
    to.close(30)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "fresh.jsonl",
        "lw.jsonl",
        "notes.txt",
        "old4.jsonl",
        "old5.jsonl",
    ]


def verify(path: Path, capsys: Any) -> tuple[int, str]:
    code = main(["verify", str(path)])
    return code, capsys.readouterr().out


@pytest.fixture
def chained(tmp_path):
    to = writer(tmp_path, rotate_bytes=3_000, chain=True)
    for number in range(20):
        put(to, number, size=200)
    to.close(30)
    assert len(list(tmp_path.iterdir())) > 1
    return tmp_path


def test_a_chain_holds_over_rotation(chained, capsys):
    code, told = verify(chained, capsys)
    assert (code, told.rpartition(": ")[2]) == (0, "0 problems\n")


@pytest.mark.parametrize("harm", ["changed", "removed", "inserted", "torn", "garbage"])
def test_verify_says_where_a_file_was_harmed(chained, capsys, harm):
    file = chained / "lw.1.jsonl"
    kept = file.read_bytes().splitlines(keepends=True)
    if harm == "changed":
        kept[2] = kept[2].replace(b"xxx", b"xyx", 1)
    elif harm == "removed":
        del kept[2]
    elif harm == "inserted":
        kept.insert(2, kept[1])
    elif harm == "garbage":
        kept.insert(2, b"garbage\n")
    else:
        kept[-1] = kept[-1][:-5]
    file.write_bytes(b"".join(kept))
    code, told = verify(chained, capsys)
    assert code == 1
    assert f"{file}:{len(kept) if harm == 'torn' else 3}: " in told


def test_verify_tells_what_the_writer_lost_from_what_was_removed(tmp_path, capsys):
    to = writer(tmp_path, limits=Limits(bytes=10_000, interval=30), chain=True)
    for number in range(50):
        to.write(event(number, 1_000))
    assert to.flush(30)
    put(to, 50)
    to.close(30)
    code, told = verify(tmp_path, capsys)
    assert code == 1
    assert f"{to.lost()['queue_full']} missing before number" in told
    assert "broken" not in told


KILLED = """
import itertools, sys
from otel_agent_instrumentation import emit_event
for number in itertools.count():
    emit_event("a.b", {"n": number, "text": "x" * 200})
    if number == 100:
        print("going", flush=True)
    if number % 100 == 0:
        import time; time.sleep(0.002)
"""


def test_a_process_that_is_killed_leaves_whole_lines(tmp_path):
    for wait in (0.05, 0.2, 0.37):
        folder = tmp_path / str(wait)
        folder.mkdir()
        with subprocess.Popen([sys.executable, "-c", KILLED], cwd=folder, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            deadline = time.monotonic() + 30
            while not list(folder.glob("logs/telemetry/*.jsonl")) and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(wait)
            process.send_signal(signal.SIGKILL)
        (run,) = reader.runs(folder / "logs" / "telemetry")
        found = reader.events(run)
        assert found.unreadable <= 1
        kept = numbers(*run.files)
        assert kept == list(range(len(kept)))


@pytest.mark.parametrize("how", ["fork", "spawn"])
@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
def test_processes_that_write_at_once_lose_nothing_and_double_nothing(tmp_path, how, shared):
    command = [sys.executable, str(PROCESSES), how, "4", "200", str(tmp_path), *(["shared"] if shared else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "800 of 800 recorded, 0 dropped" in done.stdout


def test_threads_that_fork_amid_it_leave_the_child_a_ledger_of_its_own(tmp_path):
    to = writer(tmp_path)
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            to.write(event(number))
            number += 1
            time.sleep(0.0005)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                to.reset_in_child()
                to.write(event(7))
                os._exit(0 if to.flush(20) and to.lost() == {} else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        thread.join(30)
    to.close(30)
    theirs = [file for file in tmp_path.iterdir() if file.name != "lw.jsonl"]
    assert [numbers(file) for file in theirs] == [[7]] * 5
    own = numbers(tmp_path / "lw.jsonl")
    assert own == list(range(len(own)))
