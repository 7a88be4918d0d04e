# SPDX-License-Identifier: Apache-2.0
"""An agent that ends in the way that its argument names."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from wiring import coordinator, emit, tell

if TYPE_CHECKING:
    from types import FrameType


def wait() -> None:
    emit("main", 3)
    tell(ready=True)
    time.sleep(30)
    tell(woken=True)


def own_handler(signum: int, frame: FrameType | None) -> None:
    tell(handler="own")
    sys.exit(7)


def chaining_handler(signum: int, frame: FrameType | None) -> None:
    assert callable(previous)
    previous(signum, frame)
    tell(handler="chained")
    sys.exit(8)


def graceful(signum: int, frame: FrameType | None) -> None:
    """As uvicorn does it: stop, give the signal back to whom it was taken from, and raise it again."""
    signal.signal(signal.SIGTERM, previous)
    tell(handler="graceful")
    signal.raise_signal(signal.SIGTERM)


def child(number: int) -> int:
    emit(f"child{number}", 2)
    return os.getpid()


def processes(method: str) -> None:
    emit("main", 3)
    if method == "used":
        # The parent has connections open, and its worker waits for the next tick, when it forks.
        assert coordinator.flush(5.0)
        method = "fork"
    context: Any = multiprocessing.get_context(method)
    workers = [context.Process(target=child, args=(number,)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    tell(codes=[worker.exitcode for worker in workers])


def terminated_child() -> None:
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=wait)
    worker.start()
    time.sleep(1)
    worker.terminate()
    worker.join()
    tell(codes=[worker.exitcode])


def pool(method: str) -> None:
    emit("main", 3)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as executor:
        tell(pids=len(set(executor.map(child, range(6)))))


def old_pool() -> None:
    emit("main", 3)
    with multiprocessing.get_context("fork").Pool(2) as workers:
        workers.map(child, range(6))


def fork(end: str) -> None:
    emit("main", 3)
    pid = os.fork()
    if pid == 0:
        emit("child", 2)
        if end == "flush":
            coordinator.flush(2.0)
            os._exit(0)
        sys.exit(0)
    os.waitpid(pid, 0)


def fork_with_locks_held() -> None:
    """Fork while other threads hold every lock of the queues, again and again."""
    emit("main", 1)
    stop = threading.Event()
    lanes: list[Any] = [item for item in coordinator._flushables if hasattr(item, "queue")]
    locks = [lane.queue.accounts.lock for lane in lanes] + [lane._starting for lane in lanes]

    def hold(lock: threading.Lock) -> None:
        with lock:
            stop.wait()

    holders = [threading.Thread(target=hold, args=(lock,)) for lock in locks]
    for holder in holders:
        holder.start()
    pid = os.fork()
    if pid == 0:
        emit("child", 2)
        # The threads that the main thread would wait for are not in this process.
        sys.exit(0)
    _, status = os.waitpid(pid, 0)
    stop.set()
    for holder in holders:
        holder.join()
    tell(status=status)


def flood() -> None:
    emit("main", 5000)


def late() -> None:
    """Nothing until the very end: no worker runs when the interpreter ends."""
    coordinator.register_call("late", lambda _: emit("late", 2), stage="first")


def terminated_while_ending() -> None:
    """As a pool does with its workers: they were told to end, and are terminated while they do."""
    emit("main", 3)
    coordinator.register_call("signal", lambda _: os.kill(os.getpid(), signal.SIGTERM), stage="first")


def hang_at_exit() -> None:
    emit("main", 3)
    coordinator.register_call("hang", lambda _: time.sleep(60))


previous = signal.getsignal(signal.SIGTERM)

if __name__ == "__main__":
    way = sys.argv[1]
    if way == "normal":
        emit("main", 3)
    elif way == "sysexit":
        emit("main", 3)
        sys.exit(5)
    elif way == "exception":
        emit("main", 3)
        raise RuntimeError(way)
    elif way == "wait":
        wait()
    elif way == "own-handler":
        signal.signal(signal.SIGTERM, own_handler)
        wait()
    elif way == "chaining-handler":
        signal.signal(signal.SIGTERM, chaining_handler)
        wait()
    elif way == "graceful":
        signal.signal(signal.SIGTERM, graceful)
        wait()
    elif way == "ignored":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        coordinator.arm()
        tell(kept=signal.getsignal(signal.SIGTERM) is signal.SIG_IGN)
    elif way.startswith("mp-"):
        processes(way.removeprefix("mp-"))
    elif way == "terminated-child":
        terminated_child()
    elif way.startswith("pool-"):
        pool(way.removeprefix("pool-"))
    elif way == "old-pool":
        old_pool()
    elif way.startswith("fork-"):
        fork(way.removeprefix("fork-"))
    elif way == "locks":
        fork_with_locks_held()
    else:
        {"flood": flood, "late": late, "hang": hang_at_exit, "ending": terminated_while_ending}[way]()
