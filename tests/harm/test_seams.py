# SPDX-License-Identifier: Apache-2.0
"""A client that lost one of our seams (D2, D3): it behaves as it does without us, and we keep all else."""

from __future__ import annotations

import gc
import importlib
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal

import pytest

import harm
from otel_agent_instrumentation import integrations
from otel_agent_instrumentation.core import contain, patching, runs
from otel_agent_instrumentation.testing.capture import capture

if TYPE_CHECKING:
    from collections.abc import Generator

    from otel_agent_instrumentation.core.patching import Seam

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.logs,
    # The client's own, where an `async with` finds no `__aexit__`.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
]

NAMES = (
    *("create", "drained", "closed", "raised_in_with", "raw_stream", "streaming_parsed", "helper", "refused"),
    *("retried", "create_later", "drained_later", "raised_in_with_later", "streaming_parsed_later", "helper_later"),
)

Damage = Literal["deleted", "renamed", "none"]
DAMAGES: tuple[Damage, ...] = ("deleted", "renamed", "none")


def seams(name: str) -> list[Seam]:
    integration = integrations.load(name)
    assert integration is not None
    return [seam for seam in integration.seams if _owner(seam) is not None]


def _owner(seam: Seam) -> tuple[Any, str] | None:
    """Where the seam's attribute really is: its class or the base that it inherits it from. None if it is nowhere."""
    try:
        parent: Any = importlib.import_module(seam.module)
    except ImportError:
        return None
    *path, name = seam.attribute.split(".")
    for step in path:
        parent = getattr(parent, step, None)
    places = getattr(parent, "__mro__", (parent,)) if parent is not None else ()
    return next(((place, name) for place in places if place is not object and name in vars(place)), None)


@contextmanager
def damaged(seam: Seam, damage: Damage) -> Generator[None]:
    owner = _owner(seam)
    assert owner is not None
    place, name = owner
    original = vars(place)[name]
    # A stream that a damaged client leaves open is in a cycle of its own. httpcore closes it where it is collected,
    # under a lock that is not reentrant: collected inside the pool's own locked block, it waits for itself for ever.
    gc.disable()
    if damage == "none":
        setattr(place, name, None)
    else:
        delattr(place, name)
        if damage == "renamed":
            setattr(place, f"{name}_renamed", original)
    try:
        yield
    finally:
        setattr(place, name, original)
        if damage == "renamed":
            delattr(place, f"{name}_renamed")
        gc.collect()
        gc.enable()


def missing() -> list[str]:
    return [f"{seam.module}.{seam.attribute}" for _, seam, state in patching.states() if state == "missing"]


def told_missing(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if "is not there in the installed version" in record.getMessage()
    ]


@pytest.fixture(scope="module")
def lab():
    with harm.Lab() as lab:
        yield lab


@pytest.mark.parametrize(
    ("client", "seam"),
    [
        # A stream that cannot be read cannot be tapped: that is a fault, contained.
        pytest.param(
            client,
            seam,
            id=f"{client}-{seam.attribute}",
            marks=pytest.mark.faults if seam.attribute.endswith("__stream__") else (),
        )
        for client in harm.CLIENTS
        for seam in seams(client)
    ],
)
def test_a_damaged_client_is_no_more_damaged_with_us(lab, caplog, client, seam):
    scenarios = harm.named(*NAMES, clients=[client])
    for damage in DAMAGES:
        caplog.clear()
        contain.reset()
        with damaged(seam, damage):
            plain = [lab.run(scenario) for scenario in scenarios]
            with capture() as captured:
                absent = missing()
                others = {f"{s.module}.{s.attribute}" for s in seams(client)} <= {*patching.patched(), *absent}
                with caplog.at_level(logging.WARNING):
                    outcomes = [lab.run(scenario) for scenario in scenarios]
                captured.spans(roots=True)  # ends what is still open
                spans = len(captured.calls())
        assert outcomes == plain, damage
        key = f"{seam.module}.{seam.attribute}"
        # A class may inherit the attribute through a second seam's class: both are missing then.
        assert key in absent, damage
        assert others, damage
        assert len(told_missing(caplog)) <= len(absent)
        if not seam.optional:
            assert sum(key in message for message in told_missing(caplog)) == 1, damage
        lost = {"SyncAPIClient.request": "sync", "AsyncAPIClient.request": "async"}.get(seam.attribute)
        # What the client sent without its `request` cannot be seen, and nothing else may be lost.
        sent = sum(
            bool(outcome.wire) for outcome, scenario in zip(plain, scenarios, strict=True) if scenario.kind != lost
        )
        assert spans >= sent, damage


def _threads() -> object:
    seen: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        seen.append(pool.submit(lambda: 1).result())
    thread = Thread(target=seen.append, args=(2,))
    thread.start()
    thread.join()
    return seen


@pytest.mark.parametrize("seam", seams("threads"), ids=lambda seam: seam.attribute)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_threads_are_no_more_damaged_with_us(seam, damage):
    def play() -> object:
        try:
            return _threads()
        except Exception as error:  # noqa: BLE001 - to be compared
            return harm.told_error(error)

    threads = integrations.load("threads")
    assert threads is not None
    # Without `capture`: the SDK's own start-up needs threads.
    token = runs.set_current(runs.Run("run", "agent"))
    try:
        with damaged(seam, damage):
            plain = play()
            patching.apply(threads)
            during, patched = play(), patching.patched()
            patching.revert()
            assert play() == plain
    finally:
        runs.reset_current(token)
    assert during == plain
    assert len(patched) == 1 or _inherited(seam)


def _inherited(seam: Seam) -> bool:
    return seam.attribute == "ThreadPoolExecutor.submit"  # from `Executor`: there is something to patch all the same
