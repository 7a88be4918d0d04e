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
from otel_agent_instrumentation.core import patching
from otel_agent_instrumentation.integrations import commands as of_commands
from otel_agent_instrumentation.integrations import processes as of_processes

from . import fixtures, variants
from .rounds import BLOCKS, ROUNDS, block, one_round

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

COMMANDS = 100
OPENS = 500
WARMING = 20
_PATCHED = (of_commands.INTEGRATION, of_processes.INTEGRATION)
ARGV = ["git", "commit", "-m", "a message of some words", "--author", "me <me@example.org>"]


def _command(_: object = None) -> Any:
    """One command through all of `subprocess.run`, but the fork and the wait."""
    return subprocess.run(ARGV, check=False)


@contextmanager
def _no_fork() -> Generator[None]:
    """As the model calls' transport is stubbed: a fork costs a millisecond, its noise more than what is measured.

    Stubbed are the system's two calls alone, so that what the child's environment costs is in.
    """
    cls: Any = subprocess.Popen
    module: Any = subprocess
    real = module._fork_exec, cls._try_wait  # noqa: SLF001

    def started(*_: Any) -> int:
        return os.getpid()

    def waited(process: Any, _: int) -> tuple[int, int]:
        return process.pid, 0

    module._fork_exec, cls._try_wait = started, waited  # noqa: SLF001
    try:
        yield
    finally:
        module._fork_exec, cls._try_wait = real  # noqa: SLF001


def _warm(run: Callable[[Any], None]) -> None:
    """The interpreter's caches of `Popen` are empty once something of it was replaced: none of its cost."""
    for _ in range(WARMING):
        run(None)


class _Bare(variants.Variant):
    call = staticmethod(_command)

    def on(self) -> None:
        _warm(self.call)


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

    def on(self) -> None:
        _warm(self.call)

    def flush(self) -> None:
        self._providers[0].force_flush()

    def close(self) -> None:
        for provider in self._providers:
            provider.shutdown()


class _Ours(variants.Ours):
    """This package, within a run. Switched off, it is off `subprocess`, too: several wrappers at rest cost 7 us."""

    call = staticmethod(_command)
    only = ("commands", "files", "processes")
    _run: run | None = None

    def on(self) -> None:
        for integration in _PATCHED:
            patching.apply(integration)
        super().on()
        self._run = run("bench")
        self._run.__enter__()
        _warm(self.call)

    def off(self) -> None:
        if self._run is not None:
            self._run.__exit__(None, None, None)
            self._run = None
        super().off()
        for integration in _PATCHED:
            patching.revert(integration.name)


class _OursWithLedger(_Ours):
    ledger = True


def commands() -> None:
    """The cost of a command, beside a floor around the command in the same rounds, and beside the model call's.

    The one of contracts 10 is around a model call, between whose ends other code runs: it costs half as much again.
    """
    with _no_fork():  # around it all: what is stubbed is beneath what is patched
        measured: dict[str, variants.Variant] = {
            "floor": _Floor(),
            "ours": _Ours(),
            "ours with ledger": _OursWithLedger(),
        }
        rounds = [one_round(measured, None, None, COMMANDS, _Bare()) for _ in range(ROUNDS)]
        for variant in measured.values():
            variant.close()
    client = fixtures.client()
    call: dict[str, variants.Variant] = {"floor": variants.Floor()}
    around_a_call = statistics.median(one_round(call, client, None, COMMANDS)["floor"] for _ in range(ROUNDS))
    call["floor"].close()
    print(f"\nper command (no fork; guard on; median of {ROUNDS} interleaved rounds)")
    for name in ("floor", "ours", "ours with ledger"):
        costs = [found[name] for found in rounds]
        floors = [found["floor"] for found in rounds]
        ratio = statistics.median(cost / floor for cost, floor in zip(costs, floors, strict=True))
        middle = statistics.median(costs)
        print(
            f"  {name:18} {ratio:5.2f} x its floor   {middle / around_a_call:5.2f} x that of a model call"
            f"   {middle * 1e6:7.1f} us"
        )


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
