# SPDX-License-Identifier: Apache-2.0
"""The worker of a queue against backends that fail in every way, without a network."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time

import pytest

from otel_agent_instrumentation.pipeline import batch as batch_module
from otel_agent_instrumentation.pipeline.accounts import snapshots
from otel_agent_instrumentation.pipeline.batch import Lane
from otel_agent_instrumentation.pipeline.outcome import DELIVERED, Outcome, Verdict
from otel_agent_instrumentation.pipeline.queue import Limits

RETRY = Outcome(Verdict.RETRY, "unreachable")
SOON = Limits(delay=0.05)
LATER = Limits(delay=30.0)


class Backend:
    """A target that answers what ``script`` says, then always delivers."""

    name = "backend"
    renewable = True

    def __init__(self, *script: Outcome) -> None:
        self.script = list(script)
        self.received: list[int] = []
        self.batches: list[int] = []
        self.changed = threading.Condition()
        self.closed = self.renewed = 0

    def answer(self, batch: list[int]) -> Outcome:
        return self.script.pop(0) if self.script else DELIVERED

    def attempt(self, batch, timeout):
        outcome = self.answer(list(batch))
        with self.changed:
            self.batches.append(len(batch))
            if outcome.verdict is Verdict.DELIVERED:
                self.received += batch
            self.changed.notify_all()
        return outcome

    def renew(self) -> None:
        self.renewed += 1

    def close(self) -> None:
        self.closed += 1

    def wait(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.received) >= count, timeout=10)


class Poisoned(Backend):
    def __init__(self, *poison: int, reason: str = "unserialisable") -> None:
        super().__init__()
        self.poison = set(poison)
        self.reason = reason

    def answer(self, batch):
        return Outcome(Verdict.SPLIT, self.reason) if self.poison.intersection(batch) else DELIVERED


class Stuck(Backend):
    """Hangs in its first attempt until released."""

    def __init__(self, then: Outcome = DELIVERED) -> None:
        super().__init__()
        self.release = threading.Event()
        self.entered = threading.Event()
        self.then = then

    def answer(self, batch):
        if self.entered.is_set():
            return DELIVERED
        self.entered.set()
        self.release.wait(20)
        return self.then


def lane_of(backend: Backend, limits: Limits = SOON) -> Lane[int]:
    return Lane("spans", backend, limits)


def fill(lane: Lane[int], count: int, size: int = 10) -> None:
    for number in range(count):
        lane.put(number, size)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "otel-agent-spans"]


def test_the_worker_starts_with_the_first_record_and_there_is_one():
    backend = Backend()
    lane = lane_of(backend)
    assert not threads()
    fill(lane, 1)
    backend.wait(1)
    fill(lane, 2000)
    backend.wait(2001)
    assert len(threads()) == 1
    assert lane.shutdown(2.0)
    assert backend.closed == 1


def test_a_full_batch_does_not_wait_for_the_tick():
    backend = Backend()
    lane = lane_of(backend, Limits(delay=60, batch_items=10))
    fill(lane, 10)
    backend.wait(10)
    lane.shutdown(1.0)


def test_flush_delivers_at_once_and_the_lane_goes_on():
    backend = Backend()
    lane = lane_of(backend, LATER)
    fill(lane, 3)
    assert lane.flush(5.0)
    assert backend.received == [0, 1, 2]
    fill(lane, 1)
    assert lane.shutdown(5.0)
    assert len(backend.received) == 4


def test_flush_of_nothing_starts_nothing():
    lane = lane_of(Backend())
    assert lane.flush(1.0)
    assert not threads()
    lane.shutdown(1.0)


@pytest.mark.logs
def test_a_backend_that_comes_back_gets_everything_once_and_in_order(monkeypatch):
    monkeypatch.setattr(batch_module, "_FIRST_PAUSE", 0.01)
    backend = Backend(*[RETRY] * 5)
    lane = lane_of(backend, Limits(delay=0.01, batch_items=100))
    fill(lane, 1000)
    backend.wait(1000)
    assert backend.received == list(range(1000))
    lane.shutdown(1.0)
    snapshot = lane.queue.accounts.snapshot()
    assert (snapshot.exported, snapshot.dropped, snapshot.resent) == (1000, {}, 0)
    assert snapshot.trouble == {"unreachable": 5}


@pytest.mark.logs
def test_the_pause_doubles_and_a_backend_that_names_a_time_is_obeyed():
    lane = lane_of(Backend(), LATER)
    pauses: list[float] = []
    for _ in range(8):
        lane._back_off(RETRY)
        pauses.append(lane._resume_at - time.monotonic())
    assert pauses[0] < 1.3
    assert 23 < pauses[-1] < 37
    lane._back_off(Outcome(Verdict.RETRY, "http_429", retry_after=7.0))
    assert 6 < lane._resume_at - time.monotonic() < 8
    lane.shutdown(1.0)


@pytest.mark.logs
def test_while_it_pauses_a_full_queue_does_not_wake_the_worker_again():
    backend = Backend(*[Outcome(Verdict.RETRY, "http_503", retry_after=60.0)] * 9)
    lane = lane_of(backend, Limits(delay=60, batch_items=10, max_items=100))
    fill(lane, 10)
    deadline = time.monotonic() + 5
    while not backend.batches and time.monotonic() < deadline:
        time.sleep(0.01)
    fill(lane, 1000)
    time.sleep(0.2)
    assert backend.batches == [10]
    assert lane.queue.accounts.snapshot().dropped == {"queue_full": 910}
    lane.shutdown(0.5)


@pytest.mark.logs
def test_a_poisoned_record_is_lost_alone():
    backend = Poisoned(17, 63)
    lane = lane_of(backend, LATER)
    fill(lane, 100)
    assert lane.flush(5.0)
    assert backend.received == [number for number in range(100) if number not in {17, 63}]
    assert lane.queue.accounts.snapshot().dropped == {"unserialisable": 2}
    assert lane.queue.batch_items == 512
    lane.shutdown(1.0)


@pytest.mark.logs
def test_after_a_batch_was_too_large_batches_are_smaller():
    class Small(Backend):
        def answer(self, batch):
            return Outcome(Verdict.SPLIT, "too_large") if len(batch) > 30 else DELIVERED

    backend = Small()
    lane = lane_of(backend, LATER)
    fill(lane, 100, size=10_000)
    assert lane.flush(5.0)
    assert sorted(backend.received) == list(range(100))
    tries = len(backend.batches)
    fill(lane, 100, size=10_000)
    assert lane.flush(5.0)
    assert len(backend.batches) == tries + 4
    lane.shutdown(1.0)


@pytest.mark.logs
def test_a_split_that_meets_an_outage_goes_back_whole_and_in_order():
    class Flaky(Poisoned):
        def answer(self, batch):
            if len(batch) == 8 and not self.script:
                self.script = [RETRY, DELIVERED]
            outcome = super().answer(batch)
            return self.script.pop(0) if outcome is DELIVERED and self.script else outcome

    backend = Flaky(9)
    lane = lane_of(backend, LATER)
    fill(lane, 16)
    assert lane.flush(5.0)
    assert backend.received == [number for number in range(16) if number != 9]
    lane.shutdown(1.0)


@pytest.mark.logs
def test_a_permanent_failure_drops_and_counts():
    backend = Backend(Outcome(Verdict.REFUSED, "http_401"))
    lane = lane_of(backend, LATER)
    fill(lane, 3)
    assert lane.flush(5.0)
    assert lane.queue.accounts.snapshot().dropped == {"http_401": 3}
    lane.shutdown(1.0)


@pytest.mark.faults
def test_an_attempt_that_raises_costs_its_batch_and_not_the_worker():
    class Broken(Backend):
        def answer(self, batch):
            if batch[0] == 0:
                raise ValueError
            return DELIVERED

    backend = Broken()
    lane = lane_of(backend, Limits(delay=30, batch_items=2))
    fill(lane, 6)
    assert lane.flush(5.0)
    assert backend.received == [2, 3, 4, 5]
    assert lane.queue.accounts.snapshot().dropped == {"fault": 2}
    lane.shutdown(1.0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_was_told_to_exit_is_replaced():
    class Quits(Backend):
        def answer(self, batch):
            if not self.batches:
                self.batches.append(0)
                raise SystemExit
            return DELIVERED

    backend = Quits()
    lane = lane_of(backend, SOON)
    fill(lane, 1)
    deadline = time.monotonic() + 5
    while threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    lane.put(1, 1)
    backend.wait(1)
    lane.shutdown(1.0)
    snapshot = lane.queue.accounts.snapshot()
    assert snapshot.emitted == snapshot.exported + snapshot.unknown == 2


@pytest.mark.logs
@pytest.mark.parametrize(("then", "unknown", "exported"), [(DELIVERED, 0, 40), (RETRY, 0, 40)])
def test_a_hung_attempt_is_given_up_and_its_batch_is_unknown_until_it_tells(monkeypatch, then, unknown, exported):
    monkeypatch.setattr(batch_module, "_GRACE", 0.05)
    backend = Stuck(then)
    lane = lane_of(backend, Limits(delay=0.02, attempt=0.05, batch_items=10))
    fill(lane, 10)
    assert backend.entered.wait(5)
    time.sleep(0.2)
    fill(lane, 29)
    backend.wait(29)
    assert backend.renewed == 1
    assert lane.queue.accounts.snapshot().unknown == 10
    backend.release.set()
    lane.put(99, 1)
    backend.wait(40)
    snapshot = lane.queue.accounts.snapshot()
    assert (snapshot.emitted, snapshot.unknown) == (40, unknown)
    # The late answer is no reason for the new worker to pause.
    assert lane._failures == 0
    lane.shutdown(2.0)
    assert lane.queue.accounts.snapshot().exported == exported


def test_an_exporter_that_cannot_be_renewed_is_never_used_by_two_threads(monkeypatch):
    monkeypatch.setattr(batch_module, "_GRACE", 0.05)
    backend = Stuck()
    backend.renewable = False
    lane = lane_of(backend, Limits(delay=0.02, attempt=0.05, batch_items=10))
    fill(lane, 10)
    assert backend.entered.wait(5)
    time.sleep(0.2)
    fill(lane, 30)
    assert (backend.renewed, len(threads())) == (0, 1)
    backend.release.set()
    assert lane.shutdown(5.0)


@pytest.mark.logs
def test_a_split_answer_that_comes_late_loses_nothing(monkeypatch):
    monkeypatch.setattr(batch_module, "_GRACE", 0.05)
    backend = Stuck(Outcome(Verdict.SPLIT, "too_large"))
    lane = lane_of(backend, Limits(delay=0.02, attempt=0.05, batch_items=10))
    fill(lane, 10)
    assert backend.entered.wait(5)
    time.sleep(0.2)
    fill(lane, 1)
    backend.wait(1)
    backend.release.set()
    backend.wait(11)
    snapshot = lane.queue.accounts.snapshot()
    assert (snapshot.emitted, snapshot.lost, snapshot.unknown) == (11, 0, 0)
    lane.shutdown(2.0)


def test_shutdown_leaves_a_stuck_backend_in_time_and_says_what_is_unknown():
    backend = Stuck()
    lane = lane_of(backend, Limits(delay=0.01, batch_items=5))
    fill(lane, 5)
    assert backend.entered.wait(5)
    fill(lane, 7)
    began = time.monotonic()
    assert not lane.shutdown(0.2)
    assert time.monotonic() - began < 1.5
    snapshot = lane.queue.accounts.snapshot()
    assert (snapshot.emitted, snapshot.unknown, snapshot.dropped) == (12, 5, {"exit": 7})
    lane.put(1, 1)
    assert lane.queue.accounts.snapshot().dropped == {"exit": 7, "after_shutdown": 1}
    backend.release.set()


def test_shutdown_twice_and_flush_after_it_do_nothing():
    backend = Backend()
    lane = lane_of(backend)
    fill(lane, 1)
    assert lane.shutdown(2.0)
    assert lane.shutdown(2.0)
    assert lane.flush(1.0)
    assert backend.closed == 1


@pytest.mark.logs
def test_a_dead_backend_is_tried_thrice_when_somebody_waits():
    backend = Backend(*[RETRY] * 50)
    lane = lane_of(backend, LATER)
    fill(lane, 1)
    began = time.monotonic()
    assert not lane.flush(20.0)
    assert time.monotonic() - began < 5
    assert len(backend.batches) == 3
    assert lane.queue.accounts.snapshot().queued == 1
    lane.shutdown(0.1)


def test_a_flush_from_within_the_delivery_does_not_wait_for_itself():
    answers: list[bool] = []

    class Reentrant(Backend):
        def answer(self, batch):
            answers.append(lane.flush(10.0))
            return DELIVERED

    lane = lane_of(Reentrant(), LATER)
    fill(lane, 1)
    began = time.monotonic()
    assert lane.flush(10.0)
    assert time.monotonic() - began < 5
    assert answers == [False]
    lane.shutdown(1.0)


@pytest.mark.logs
def test_each_kind_of_trouble_is_one_line(caplog):
    backend = Backend(*[Outcome(Verdict.REFUSED, "http_400")] * 20, *[RETRY] * 9)
    lane = lane_of(backend, Limits(delay=30, batch_items=1, max_items=30))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            fill(lane, 10)
            lane.flush(5.0)
        fill(lane, 1000)
        lane.flush(5.0)
    lane.shutdown(0.1)
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 3
    assert sum("http_400" in text for text in texts) == 1
    assert sum("unreachable" in text for text in texts) == 1
    assert sum("is full" in text for text in texts) == 1


@pytest.mark.logs
def test_a_finaliser_may_end_a_span_at_any_moment():
    backend = Backend()
    lane = lane_of(backend, Limits(delay=0.001, batch_items=4, max_items=50))
    ended = 0

    class Abandoned:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            nonlocal ended
            ended += 1
            lane.put(-1, 1)

    before = gc.get_threshold()
    gc.set_threshold(20, 2, 2)
    try:
        for number in range(5000):
            Abandoned()
            lane.put(number, 1)
    finally:
        gc.set_threshold(*before)
    gc.collect()
    lane.shutdown(5.0)
    assert ended == 5000
    snapshot = lane.queue.accounts.snapshot()
    assert snapshot.emitted == 10_000
    assert snapshot.exported == len(backend.received)


def test_a_forked_child_begins_with_nothing(tmp_path):
    backend = Backend()
    lane = lane_of(backend, LATER)
    fill(lane, 3)
    pid = os.fork()
    if pid == 0:
        try:
            clean = lane.queue.accounts.snapshot().emitted == 0 and not threads() and backend.renewed == 1
            lane.put(7, 1)
            clean = clean and lane.shutdown(5.0) and backend.received == [7]
            (tmp_path / "child").write_text(str(clean))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert (tmp_path / "child").read_text() == "True"
    assert lane.shutdown(5.0)
    assert backend.received == [0, 1, 2]


def test_a_child_that_never_used_an_exporter_does_not_close_it(tmp_path):
    backend = Backend()
    lane = lane_of(backend, LATER)
    fill(lane, 1)
    pid = os.fork()
    if pid == 0:
        lane.shutdown(1.0)
        (tmp_path / "child").write_text(str(backend.closed))
        os._exit(0)
    os.waitpid(pid, 0)
    assert (tmp_path / "child").read_text() == "0"
    lane.shutdown(1.0)


@pytest.mark.logs
def test_the_books_of_all_queues_can_be_read():
    lane = lane_of(Backend(Outcome(Verdict.REFUSED, "http_400")), LATER)
    fill(lane, 2)
    lane.flush(5.0)
    mine = [item for item in snapshots() if item.exporter == "backend" and item.emitted == 2]
    assert [item.sentence() for item in mine] == ["2 spans: 0 exported to backend, 2 dropped (http_400 2)"]
    lane.shutdown(1.0)


def test_without_threads_the_exit_delivers_by_itself(monkeypatch):
    def no_more(self):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    backend = Backend()
    lane = lane_of(backend, LATER)
    monkeypatch.setattr(threading.Thread, "start", no_more)
    fill(lane, 600)
    assert lane.shutdown(5.0)
    assert len(backend.received) == 600
    assert backend.closed == 1
