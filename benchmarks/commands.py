# SPDX-License-Identifier: Apache-2.0
"""What a command of an active run costs over the unpatched one, and `open` once files are followed."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otel_agent_instrumentation import run, semconv

from . import fixtures, variants
from .rounds import BLOCKS, ROUNDS, block, one_round

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

COMMANDS = 100
OPENS = 500
ARGV = ["git", "commit", "-m", "a message of some words", "--author", "me <me@example.org>"]


def _command(_: object = None) -> Any:
    """One command through all of `subprocess.run`, but the fork."""
    return subprocess.run(ARGV, check=False)


@contextmanager
def _no_fork() -> Generator[None]:
    """As the model calls' transport is stubbed: a fork costs a millisecond, its noise more than what is measured."""
    cls: Any = subprocess.Popen
    real = cls._execute_child

    def started(process: Any, *_: Any) -> None:
        process.pid, process.returncode = os.getpid(), 0

    cls._execute_child = started
    try:
        yield
    finally:
        cls._execute_child = real


class _Bare(variants.Variant):
    call = staticmethod(_command)


class _Floor(variants.Variant):
    """The hand-written wrapper of contracts 10 around the command: one span of 15 attributes, 3 histogram records."""

    def __init__(self) -> None:
        self._providers = tracers, meters, _ = fixtures.stock_providers()
        tracer, meter = tracers.get_tracer("floor"), meters.get_meter("floor")
        durations = [
            meter.create_histogram(name, explicit_bucket_boundaries_advisory=list(semconv.SECONDS))
            for name in ("duration", "stdout", "stderr")
        ]

        def wrapped(_: object) -> None:
            begin = time.perf_counter()
            labels = {f"label.{number}": "a value" for number in range(5)}
            start = {**labels, "command": ARGV[0], "arguments": tuple(ARGV), "shell": False}
            with tracer.start_as_current_span("command", attributes=start) as span:
                done = _command()
                span.set_attributes({"code": done.returncode, **{f"fact.{number}": number for number in range(6)}})
            for histogram in durations:
                histogram.record(time.perf_counter() - begin, labels)

        self.call = wrapped

    def flush(self) -> None:
        self._providers[0].force_flush()

    def close(self) -> None:
        for provider in self._providers:
            provider.shutdown()


class _Ours(variants.Ours):
    """This package, within a run."""

    call = staticmethod(_command)
    only = ("commands", "files")
    _run: run | None = None

    def on(self) -> None:
        super().on()
        self._run = run("bench")
        self._run.__enter__()

    def off(self) -> None:
        if self._run is not None:
            self._run.__exit__(None, None, None)
            self._run = None
        super().off()


class _OursWithLedger(_Ours):
    ledger = True


def commands() -> None:
    """The cost of a command, beside the floor taken in the same rounds."""
    measured: dict[str, variants.Variant] = {"floor": _Floor(), "ours": _Ours(), "ours with ledger": _OursWithLedger()}
    with _no_fork():
        rounds = [one_round(measured, None, None, COMMANDS, _Bare()) for _ in range(ROUNDS)]
    for variant in measured.values():
        variant.close()
    print(f"\nper command (no fork; guard on; median of {ROUNDS} interleaved rounds)")
    for name in ("floor", "ours", "ours with ledger"):
        costs = [found[name] for found in rounds]
        floors = [found["floor"] for found in rounds]
        ratio = statistics.median(cost / floor for cost, floor in zip(costs, floors, strict=True))
        print(f"  {name:18} {ratio:5.2f} x floor   {statistics.median(costs) * 1e6:7.1f} us")


def opens() -> None:
    """`open` and `close` of a file that is there, as it was and as it is within a run and without one."""
    plain = open
    path = Path("opened")
    path.write_text("x")

    def of(opened: Callable[..., Any], mode: str) -> Callable[[object], None]:
        def work(_: object) -> None:
            opened(path, mode).close()

        return work

    ours = _Ours()
    ours.on()  # the first run: what follows files is installed
    ours.off()
    now = open
    measured = {"as it was": (_Bare(), plain), "without a run": (_Bare(), now), "in a run": (ours, now)}
    print(f"\nper open and close (median of {ROUNDS} interleaved rounds)")
    for word, mode in (("reading", "rb"), ("writing", "wb")):
        found: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(ROUNDS * BLOCKS):
            for name, (variant, opened) in measured.items():
                found[name].append(block(variant, None, of(opened, mode), OPENS))
        for name, values in found.items():
            print(f"  {word}, {name:18} {statistics.median(values) * 1e6:7.1f} us")
    ours.close()


def main() -> None:
    """Both."""
    commands()
    opens()
