# SPDX-License-Identifier: Apache-2.0
"""The bounded queue: its bounds, its order, and books that balance after every step."""

from __future__ import annotations

import random
import threading
import time

import pytest

from otel_agent_instrumentation.pipeline.outcome import DELIVERED, Outcome, Verdict
from otel_agent_instrumentation.pipeline.queue import BoundedQueue, Limits

REFUSED = Outcome(Verdict.REFUSED, "http_400")


def make(**limits) -> BoundedQueue[int]:
    return BoundedQueue("spans", "test", Limits(**limits))


def fill(queue: BoundedQueue[int], numbers, size: int = 1) -> None:
    for number in numbers:
        queue.put(number, size)


def taken(queue: BoundedQueue[int]) -> list[int]:
    batch = queue.take()
    return batch.records() if batch else []


def test_over_the_count_the_oldest_are_dropped_and_counted():
    queue = make(max_items=5, batch_items=5)
    fill(queue, range(8))
    assert taken(queue) == [3, 4, 5, 6, 7]
    assert queue.accounts.snapshot().dropped == {"queue_full": 3}


def test_over_the_bytes_the_oldest_are_dropped_and_counted():
    queue = make(max_bytes=100)
    fill(queue, range(8), size=30)
    assert queue.accounts.snapshot().queued_bytes == 90
    assert taken(queue) == [5, 6, 7]
    assert queue.accounts.snapshot().dropped == {"queue_full": 5}


def test_what_is_in_flight_counts_against_the_bytes():
    queue = make(max_bytes=100, batch_items=2)
    fill(queue, range(3), size=30)
    queue.take()
    fill(queue, range(3, 6), size=30)
    assert queue.accounts.snapshot().queued_bytes <= 100
    assert queue.accounts.snapshot().queued == 3


def test_a_record_larger_than_the_bound_does_not_push_out_the_others():
    queue = make(max_bytes=100)
    fill(queue, [1, 2], size=10)
    queue.put(3, 101)
    assert taken(queue) == [1, 2]
    assert queue.accounts.snapshot().dropped == {"too_large": 1}


def test_a_batch_is_bounded_in_bytes_but_never_empty():
    queue = make(max_bytes=1000, batch_bytes=100)
    fill(queue, [1, 2, 3], size=40)
    queue.put(4, 500)
    assert [taken(queue), taken(queue), taken(queue), taken(queue)] == [[1, 2], [3], [4], []]


def test_put_says_when_a_batch_is_full():
    queue = make(batch_items=2)
    assert [queue.put(1, 1), queue.put(2, 1)] == [False, True]
    assert make(batch_bytes=10).put(1, 10)


def test_restored_records_come_first_and_in_order():
    queue = make(batch_items=4)
    fill(queue, range(6))
    batch = queue.take()
    assert batch is not None
    left, right = batch.halves()
    queue.settle(left, DELIVERED)
    queue.restore([right], maybe_delivered=True)
    assert taken(queue) == [2, 3, 4, 5]
    snapshot = queue.accounts.snapshot()
    assert (snapshot.emitted, snapshot.exported, snapshot.queued, snapshot.resent) == (6, 2, 4, 2)


def test_a_restored_batch_that_no_longer_fits_loses_its_oldest():
    queue = make(max_items=4, batch_items=3)
    fill(queue, range(3))
    batch = queue.take()
    assert batch is not None
    fill(queue, range(3, 6))
    queue.restore([batch])
    assert queue.accounts.snapshot().dropped == {"queue_full": 2}
    assert taken(queue) == [2, 3, 4]


def test_rejected_records_of_a_delivered_batch_are_not_exported():
    queue = make()
    fill(queue, range(5))
    batch = queue.take()
    assert batch is not None
    queue.settle(batch, Outcome(Verdict.DELIVERED, rejected=2))
    snapshot = queue.accounts.snapshot()
    assert (snapshot.exported, snapshot.dropped) == (3, {"rejected": 2})


@pytest.mark.parametrize(
    ("late", "books"),
    [
        (None, (0, {"exit": 1}, 2)),
        (DELIVERED, (2, {"exit": 1}, 0)),
        (REFUSED, (0, {"exit": 1, "http_400": 2}, 0)),
    ],
)
def test_closing_drops_what_waits_and_what_flies_is_unknown_until_it_tells(late, books):
    queue = make(batch_items=2)
    fill(queue, range(3))
    batch = queue.take()
    assert batch is not None
    queue.close()
    if late:
        queue.settle(batch, late)
    snapshot = queue.accounts.snapshot()
    assert (snapshot.exported, snapshot.dropped, snapshot.unknown) == books
    assert (snapshot.emitted, snapshot.queued, snapshot.queued_bytes) == (3, 0, 0)


@pytest.mark.parametrize(("maybe", "dropped", "unknown"), [(False, {"exit": 3}, 0), (True, {}, 3)])
def test_a_batch_that_failed_after_the_close_is_lost_or_unknown(maybe, dropped, unknown):
    queue = make()
    fill(queue, range(3))
    batch = queue.take()
    assert batch is not None
    queue.close()
    queue.restore([batch], maybe_delivered=maybe)
    snapshot = queue.accounts.snapshot()
    assert (snapshot.dropped, snapshot.unknown) == (dropped, unknown)


def test_after_the_close_records_are_dropped_and_counted():
    queue = make()
    queue.close()
    fill(queue, range(3))
    assert queue.accounts.snapshot().dropped == {"after_shutdown": 3}


def test_putting_never_waits_for_the_lock_not_even_when_the_queue_is_full():
    queue = make(max_items=2)
    began = time.monotonic()
    with queue.accounts.lock:
        # As a finaliser does that runs while this thread is busy in the queue.
        fill(queue, range(5))
        queue.put(9, queue.max_bytes + 1)
    assert time.monotonic() - began < 2
    fill(queue, [5])
    snapshot = queue.accounts.snapshot()
    assert snapshot.emitted == 7
    assert snapshot.dropped == {"queue_full": 4, "too_large": 1}


def test_a_byte_count_that_went_wrong_is_set_right():
    queue = make(batch_items=1)
    fill(queue, range(3), size=10)
    queue.take()
    queue._bytes = 12345
    queue.recount()
    assert queue.accounts.snapshot().queued_bytes == 30


def test_the_books_balance_after_every_step_of_a_random_walk():
    walk = random.Random(7)  # noqa: S311 - a walk that can be repeated
    queue = make(max_items=50, batch_items=8, max_bytes=5000, batch_bytes=900)
    flying: list = []
    emitted = 0
    for step in range(20_000):
        match walk.randrange(8):
            case 0:
                batch = queue.take()
                flying += [batch] if batch else []
            case 1 if flying:
                queue.settle(flying.pop(), walk.choice([DELIVERED, REFUSED]))
            case 2 if flying:
                queue.restore([flying.pop()], maybe_delivered=walk.random() < 0.5)
            case 3 if step % 50 == 0:
                queue.give_up()
            case _:
                queue.put(step, walk.randrange(1, 6000))
                emitted += 1
        snapshot = queue.accounts.snapshot()
        assert snapshot.emitted == emitted
        assert min(snapshot.exported, snapshot.unknown, snapshot.queued) >= 0
        assert snapshot.queued_bytes <= 5000 or flying
    while flying:
        queue.settle(flying.pop(), DELIVERED)
    assert queue.accounts.snapshot().unknown == 0


def test_many_threads_lose_no_count():
    queue = make(max_items=100, batch_items=20)
    stop = threading.Event()

    def consume() -> None:
        while not stop.is_set() or len(queue):
            batch = queue.take()
            if batch:
                queue.settle(batch, DELIVERED)

    consumer = threading.Thread(target=consume)
    consumer.start()
    producers = [threading.Thread(target=fill, args=(queue, range(5000))) for _ in range(6)]
    for thread in producers:
        thread.start()
    for thread in producers:
        thread.join()
    stop.set()
    consumer.join()
    snapshot = queue.accounts.snapshot()
    assert snapshot.emitted == 30_000
    assert snapshot.exported + snapshot.lost == 30_000
    assert snapshot.queued == 0
