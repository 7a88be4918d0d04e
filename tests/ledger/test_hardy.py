# SPDX-License-Identifier: Apache-2.0
"""Whatever is in a file, its reader goes on: a saved corpus, made-up files, and lines that fill no memory."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ledger_lines import BEGAN, RUN, line, write
from otel_agent_instrumentation.ledger import reader, segments
from otel_agent_instrumentation.ledger.follow import Follower

CORPUS = Path(__file__).parent / "corpus"
BOTH = ["plan.generated", "executor.error"]
# By file: the events that are read, and how many lines are not.
SAVED: dict[str, tuple[list[str], int]] = {
    "blank-lines.jsonl": (BOTH, 0),
    "compressed-bad-sum.1.jsonl.gz": (BOTH, 1),
    "compressed-then-garbage.1.jsonl.gz": (BOTH[:1], 1),
    "compressed-torn.1.jsonl.gz": ([], 1),
    "compressed.1.jsonl.gz": (BOTH, 0),
    "cp949.jsonl": (BOTH, 0),
    "empty.jsonl": ([], 0),
    "healed.jsonl": (BOTH, 1),
    "newer.jsonl": (BOTH[:1], 1),
    "no-newline-at-the-end.jsonl": (BOTH, 0),
    "not-objects.jsonl": ([], 9),
    "odd-values.jsonl": (["z", "t", "dup2"], 2),
    "older.jsonl": (["a.b"], 0),
    "plain-old.jsonl": (["eval", "rune", "thesis_start"], 1),
    "plain-under-a-compressed-name.1.jsonl.gz": (BOTH, 0),
    "torn-tail.jsonl": (BOTH[:1], 1),
    "two-on-a-line.jsonl": (BOTH[1:], 1),
    "utf-16-le-bom.jsonl": (BOTH, 0),
    "utf-8-bom.jsonl": (BOTH, 0),
    "utf-8-then-utf-16-le.jsonl": ([*BOTH, BOTH[0]], 0),
    "zeros-after-a-crash.jsonl": (BOTH, 0),
    "zeros-alone.jsonl": (BOTH[:1], 1),
}


def told(file: Path) -> tuple[list[str], int]:
    found = list(reader.lines(file))
    return [one.event for one in found if one is not None], found.count(None)


def test_the_corpus_is_the_table():
    assert {file.name for file in CORPUS.iterdir()} == set(SAVED)


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_file_is_read_as_far_as_it_can_be(name):
    assert told(CORPUS / name) == SAVED[name]
    assert [one and one.event for one in reader.heads(CORPUS / name)] == [
        one and one.event for one in reader.lines(CORPUS / name)
    ]


def test_the_whole_corpus_is_followed_and_listed():
    follower = Follower(CORPUS, from_start=True)
    followed = [one.head.event for one in follower.poll()]
    # A line without a newline is not there yet, for who follows.
    assert len(followed) == sum(len(events) for events, _ in SAVED.values()) - 1
    for run in reader.runs(CORPUS):
        assert sorted(one.event for one in reader.events(run).lines) == sorted(
            one.event for one in reader.merged(run) if one is not None
        )


def test_text_in_the_encoding_of_powershell_is_what_it_was():
    last = list(reader.lines(CORPUS / "utf-8-then-utf-16-le.jsonl"))[-1]
    assert last is not None
    assert last.payload["goal"] == "계획 é"


def test_a_plain_old_line_is_an_event_with_its_keys_as_payload():
    first, second, third, _ = reader.lines(CORPUS / "plain-old.jsonl")
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.payload, first.tags, first.run_id) == (
        {"task_id": "demo-001", "quality": 0.85},
        {"task_id": "demo-001"},
        "plain-old",
    )
    assert reader.time_ns(second) == 1_761_800_000_500_000_000
    assert third.timestamp == "2025-10-29T23:00:00.000Z"


GOOD = [json.dumps(line(f"good.{number}", {"n": number}, number)).encode() for number in range(6)]
_ODD = st.one_of(
    st.binary(max_size=300),
    st.sampled_from(GOOD).flatmap(lambda one: st.integers(0, len(one)).map(lambda cut: one[:cut])),
    st.sampled_from(GOOD).map(lambda one: one.decode().encode("utf-16-le")),
    st.tuples(st.sampled_from(GOOD), st.integers(0, 200), st.binary(min_size=1, max_size=4)).map(
        lambda part: part[0][: part[1]] + part[2] + part[0][part[1] + len(part[2]) :]
    ),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["event", "type", "payload", "tags", "run_id", "cycle", "ts", "x"]), inner
            )
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
).map(lambda data: data.replace(b"\n", b" "))


@example(odd=[b'{"type":"a","cycle":false}'], packed=False, cut=0)
@given(odd=st.lists(_ODD, max_size=6), packed=st.booleans(), cut=st.integers(0, 3000))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_whole_line_is_read_whatever_stands_between(odd, packed, cut, tmp_path):
    between = [*odd, *[b""] * len(GOOD)]
    data = b"".join(one + b"\n" + other + b"\n" for one, other in zip(GOOD, between, strict=False))
    file = tmp_path / f"{RUN}.1.jsonl"
    file.write_bytes(gzip.compress(data) if packed else data)
    good = [one.event for one in reader.lines(file) if one is not None and one.event.startswith("good.")]
    wanted = [f"good.{number}" for number in range(len(GOOD))]
    assert [event for event in good if event in wanted][:1] == wanted[:1]
    assert set(wanted) <= set(good)
    assert len(list(reader.heads(file))) == len(list(reader.lines(file)))
    run = reader.RunFiles(RUN, (file,), 0)
    assert len(reader.events(run).lines) == sum(one is not None for one in reader.merged(run))
    # Cut off anywhere, it is still read.
    file.write_bytes(file.read_bytes()[:cut])
    told(file)
    Follower(tmp_path, from_start=True).poll()
    assert isinstance(reader.runs(tmp_path), list)


def test_a_long_line_is_passed_over_by_all_readers(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "LONGEST_LINE", 1000)
    file = write(tmp_path / "x.jsonl", [line("a", {}, 1), b"x" * 5_000_000 + b"\n", line("b", {}, 2)])
    assert told(file) == (["a", "b"], 1)
    follower = Follower(tmp_path, from_start=True)
    found = follower.poll()
    while follower.more:
        found += follower.poll()
    assert ([one.head.event for one in found], follower.unreadable) == (["a", "b"], 1)


def test_files_of_a_run_are_merged_by_time_though_each_is_a_little_out_of_order(tmp_path):
    for process in range(3):
        times = [number * 3 + process for number in range(1000)]
        for at in range(0, 990, 7):
            times[at : at + 7] = reversed(times[at : at + 7])
        write(tmp_path / f"{RUN}.{process}-1.jsonl", [line("e", {}, time) for time in times])
    (run,) = reader.runs(tmp_path)
    found = [reader.time_ns(one) for one in reader.merged(run) if one is not None]
    assert found == [BEGAN + time * 1_000_000 for time in range(3000)]


def test_long_lines_are_held_a_few_at_a_time(tmp_path, monkeypatch):
    write(tmp_path / f"{RUN}.jsonl", [line("e", {"text": "x" * 100_000}, number) for number in range(100)])
    monkeypatch.setattr(reader, "_MOST_HELD", 1_000_000)
    read = 0
    heads = reader.heads

    def counted(file: Path):
        nonlocal read
        for one in heads(file):
            read += 1
            yield one

    (run,) = reader.runs(tmp_path)
    monkeypatch.setattr(reader, "heads", counted)
    found = reader.merged(run)
    read = 0
    next(found)
    assert read < 30
    assert sum(1 for _ in found) == 99


def test_a_segment_is_not_read_twice_while_it_is_compressed(tmp_path):
    file = write(tmp_path / f"{RUN}.1.jsonl", [line("a", {})])
    (tmp_path / f"{RUN}.1.jsonl.gz").write_bytes(gzip.compress(file.read_bytes()))
    (run,) = reader.runs(tmp_path)
    assert [one.event for one in reader.events(run).lines] == ["a"]
