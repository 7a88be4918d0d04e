# SPDX-License-Identifier: Apache-2.0
"""Fail our n-th internal operation, for every n, until a run needs no injection (E1): the user sees nothing of it.

An operation is a function of ours that code of ours calls, or anything else that code of ours calls: OpenTelemetry, the
standard library, a builtin. What cannot be contained by anyone is left out: the entry of the wrapper that the client's
own frame calls, and containment itself.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider

import harm
import otel_agent_instrumentation
from otel_agent_instrumentation import run, suppress
from otel_agent_instrumentation.core import contain, engine, runs
from otel_agent_instrumentation.testing.capture import capture

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

OURS = str(Path(otel_agent_instrumentation.__file__).parent)
KIT = str(Path(OURS) / "testing")
CONTAIN = contain.__file__
# In the entry itself: the user's own call, and putting a context variable, which fails for want of memory alone.
THE_CALL = frozenset({"next", "iter", "__anext__", "__aiter__", "anext", "aiter", "throw", "send", "set"})
CLIENTS = frozenset(
    {"openai", "anthropic", "groq", "httpx", "httpx2", "wrapt", "asyncio", "threading", "concurrent", "contextlib"}
)
# A processor of somebody's, as the SDK would call it without our guard, and a `with` over an object of ours.
AS_ALWAYS = frozenset({"on_start", "on_end", "on_emit", "__enter__", "__exit__"})
# A lock that cannot be let go is beyond anyone's containment.
NEVER = frozenset({"__exit__", "release"})
# What the garbage collector happens to call below us: the interpreter contains it.
COLLECTOR = frozenset({"_remove", "remove", "__del__"})
# The ledger's codec has a second way for what cannot be encoded: no fault.
HAS_ANOTHER_WAY = frozenset({"encode"})
# Taking a context off cannot be made up for where it fails itself; everything else must leave the caller's context.
THE_WAY_BACK = frozenset({"detach", "_leave", "_left", "_end", "reset", "_detach"})


class Odd(Exception):  # noqa: N818 - an exception that resists being told
    """Raises when somebody looks at it."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Plain(Exception):  # noqa: N818 - told apart from every real one
    """An ordinary exception."""


KINDS: tuple[Callable[[], Exception], ...] = (Plain, Odd, RecursionError, MemoryError)


@dataclass(slots=True)
class Injector:
    """A profile function that raises at the ``n``-th operation. ``hit`` says where that was."""

    n: int
    make: Callable[[], Exception]
    builtins: bool = True
    seen: int = 0
    hit: str = ""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code, name = frame.f_code, ""
        if event == "c_call":
            if not (self.builtins and _ours(code)):
                return
            name = str(getattr(argument, "__name__", argument))
            if name in NEVER or (name in THE_CALL and not _below_ours(frame.f_back)):
                return
        elif event == "call":
            above, name = frame.f_back, code.co_name
            if above is None or not (_below_ours(above) if _ours(code) else _ours(above.f_code)):
                return
            if code.co_filename in {CONTAIN, __file__} or _clients(frame) or name in COLLECTOR | AS_ALWAYS:
                return
        else:
            return
        self.seen += 1
        if self.seen == self.n:
            self.hit = f"{name} in {code.co_filename}:{frame.f_lineno}"
            raise self.make()


@cache
def _ours(code: CodeType) -> bool:
    name = code.co_filename
    return name.startswith(OURS) and not name.startswith(KIT) and name != CONTAIN


def _clients(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] in CLIENTS


def _below_ours(frame: FrameType | None) -> bool:
    """Whether a frame of ours stands between ``frame`` and the client's own frames."""
    while frame is not None and not _clients(frame) and frame.f_code.co_filename not in {__file__, harm.__file__}:
        if _ours(frame.f_code):
            return True
        frame = frame.f_back
    return False


def run_with(injector: Injector, lab: harm.Lab, scenario: harm.Scenario) -> harm.Outcome:
    """Play a scenario with the injector on, in this thread alone."""
    sys.setprofile(injector)
    try:
        return lab.run(scenario)
    finally:
        sys.setprofile(None)


def failing_each(lab: harm.Lab, scenario: harm.Scenario, *, builtins: bool) -> list[str]:
    """Run a scenario with its n-th operation failing, for every n. Returns what the user would have noticed."""
    plain = lab.run(scenario)
    problems: list[str] = []
    with capture() as captured:
        given["tracers"], given["loggers"] = captured.tracer_provider, captured.logger_provider
        assert lab.run(scenario) == plain
        lab.run(scenario)  # what is made once is made
        n = 0
        while True:
            n += 1
            before = otel_context.get_current()
            contain.reset()
            injector = Injector(n, KINDS[n % len(KINDS)], builtins)
            outcome = run_with(injector, lab, scenario)
            if not injector.hit:
                assert n > 10, "the injector saw next to nothing"
                return problems
            if outcome != plain:
                problems.append(f"{n}: {injector.make.__name__} at {injector.hit}: {outcome.how} {outcome.seen}"[:600])
            if not contain.faults() and injector.hit.partition(" ")[0] not in HAS_ANOTHER_WAY:
                problems.append(f"{n}: not counted: {injector.hit}")
            if otel_context.get_current() is not before:
                if injector.hit.partition(" ")[0] not in THE_WAY_BACK:
                    problems.append(f"{n}: the caller's context is changed: {injector.hit}")
                otel_context.attach(before)
            if engine.current_call() is not None:
                if injector.hit.partition(" ")[0] not in THE_WAY_BACK:
                    problems.append(f"{n}: a call that is over is current: {injector.hit}")
                engine._calls.set(None)  # the next run is not below it


@pytest.fixture
def lab():
    with harm.Lab() as lab:
        yield lab


NAMES = ("create", "create_later", "drained", "drained_later", "closed", "raised_in_with", "raw", "refused", "helper")
# The others share all code of ours but the readers.
SOME = (*harm.named(*NAMES, clients=["openai"]), *harm.named("create", "drained", "helper", clients=["anthropic"]))
# With every builtin that our code calls, which is three times as much.
THOROUGH = ("openai-create", "openai-drained", "openai-drained_later", "anthropic-drained")


def _marks(scenario: harm.Scenario) -> Any:
    return pytest.mark.matrix if str(scenario) in THOROUGH else ()


@pytest.mark.parametrize("scenario", [pytest.param(one, marks=_marks(one)) for one in SOME], ids=str)
def test_no_fault_of_ours_reaches_the_caller(lab, scenario):
    problems = failing_each(lab, scenario, builtins=str(scenario) in THOROUGH)
    assert not problems, "\n".join(problems)


# --- the application's own telemetry, which passes through our guard -------------------------------------------------

given: dict[str, Any] = {}
"""The providers of the run: without us, ones without a guard."""


def _own_telemetry(lab: harm.Lab) -> object:
    tracers = given.get("tracers") or TracerProvider(shutdown_on_exit=False)
    loggers = given.get("loggers") or LoggerProvider(shutdown_on_exit=False)
    with tracers.get_tracer("agent").start_as_current_span("work", attributes={"token": "sk-1"}) as span:
        span.add_event("step", {"n": 1})
        span.set_attribute("password", "x")
        loggers.get_logger("agent").emit(body="hello", event_name="agent.said", attributes={"key": "v"})
    return "done"


def _threads(lab: harm.Lab) -> object:
    seen: list[object] = []
    with ThreadPoolExecutor(1) as pool:
        seen.append(pool.submit(lambda: "submitted").result())
    thread = Thread(target=seen.append, args=("started",))
    thread.start()
    thread.join()
    return seen


def _run(lab: harm.Lab) -> object:
    @run("decorated")
    def decorated() -> str:
        return "decorated"

    with run("agent", task="t", user="u", tags=["a"], metadata={"k": 1}), suppress():
        return decorated()


OWN = [harm.Scenario(play.__name__.strip("_"), "own", play) for play in (_own_telemetry, _threads, _run)]


@pytest.mark.parametrize("scenario", OWN, ids=str)
def test_no_fault_of_ours_reaches_the_applications_own_telemetry_and_threads(lab, scenario):
    given.clear()
    token = runs.set_current(runs.Run("r", "agent"))
    try:
        problems = failing_each(lab, scenario, builtins=True)
    finally:
        runs.reset_current(token)
        given.clear()
    assert not problems, "\n".join(problems)
