# SPDX-License-Identifier: Apache-2.0
"""Results, streams and patched methods look as they do without us (E3), and tracebacks hold one more frame (E6)."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import anthropic
import groq
import openai
import pytest

import harm
import otel_agent_instrumentation
from otel_agent_instrumentation import integrations
from otel_agent_instrumentation.core import runs
from otel_agent_instrumentation.testing.capture import capture

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.matrix

OURS = str(Path(otel_agent_instrumentation.__file__).parent)
STREAMS = (openai.Stream, openai.AsyncStream, anthropic.Stream, anthropic.AsyncStream, groq.Stream, groq.AsyncStream)
NAMES = (
    "close",
    "parse",
    "__enter__",
    "__exit__",
    "__aenter__",
    "__iter__",
    "__next__",
    "__aiter__",
    "response",
    "headers",
)


@pytest.fixture(scope="module")
def lab():
    with harm.Lab() as lab:
        yield lab


def attempt(function: Callable[..., object], *args: object) -> object:
    try:
        return type(function(*args)).__qualname__
    except Exception as error:  # noqa: BLE001 - to be compared
        return type(error).__qualname__, str(error).partition(" at 0x")[0]


def signature(function: Any) -> str:
    return str(inspect.signature(function))


def looks(thing: Any) -> dict[str, object]:
    """What a user's code can ask of an object."""
    found: dict[str, object] = {
        "type": type(thing),
        "class": thing.__class__,
        "stream": [isinstance(thing, cls) for cls in STREAMS],
        "dir": sorted({*dir(thing)} - {"__slotnames__"}),  # which `copy` leaves behind in a class
        "vars": sorted(vars(thing)),
        "copy": attempt(copy.copy, thing),
        "pickle": attempt(pickle.dumps, thing),
        "awaitable": inspect.isawaitable(thing),
    }
    for name in NAMES:
        member = getattr(thing, name, None)
        if callable(member):
            found[name] = (
                signature(member),
                inspect.iscoroutinefunction(member),
                inspect.ismethod(member),
                member.__name__,
                member.__qualname__,
                member.__doc__,
            )
    return found


def sync_things(lab: harm.Lab, client: str) -> dict[str, dict[str, object]]:
    resource, arguments = lab.resource(client)
    found = {"result": looks(resource.create(**arguments))}
    with resource.create(stream=True, **arguments) as stream:
        found["stream"] = looks(stream)
        next(stream)
        found["stream, begun"] = looks(stream)
    found["raw"] = looks(resource.with_raw_response.create(**arguments))
    answer = resource.with_raw_response.create(stream=True, **arguments)
    found["raw stream"] = looks(answer)
    found["parsed"] = looks(answer.parse())
    answer.http_response.close()
    with resource.with_streaming_response.create(stream=True, **arguments) as answer:
        found["streaming"] = looks(answer)
    return found


async def async_things(lab: harm.Lab, client: str) -> dict[str, dict[str, object]]:
    resource, arguments = lab.resource(client, later=True)
    found = {"result": looks(await resource.create(**arguments))}
    async with await resource.create(stream=True, **arguments) as stream:
        found["stream"] = looks(stream)
        await anext(aiter(stream))
        found["stream, begun"] = looks(stream)
    answer = await resource.with_raw_response.create(stream=True, **arguments)
    found["raw stream"] = looks(answer)
    await answer.http_response.aclose()
    async with resource.with_streaming_response.create(stream=True, **arguments) as answer:
        found["streaming"] = looks(answer)
    return found


@pytest.mark.parametrize("client", harm.CLIENTS)
def test_what_a_call_gives_looks_the_same(lab, client):
    plain = [sync_things(lab, client), lab.wait(async_things(lab, client))]
    with capture():
        during = [sync_things(lab, client), lab.wait(async_things(lab, client))]
    for before, after in zip(plain, during, strict=True):
        assert {key: found for key, found in flat(after).items() if flat(before)[key] != found} == {}


def flat(things: dict[str, dict[str, object]]) -> dict[str, object]:
    return {f"{thing}: {what}": found for thing, answers in things.items() for what, found in answers.items()}


def methods(client: str) -> dict[str, Any]:
    integration = integrations.load(client)
    assert integration is not None
    found: dict[str, Any] = {}
    for seam in integration.seams:
        try:
            member: Any = importlib.import_module(seam.module)
        except ImportError:
            continue
        for step in seam.attribute.split("."):
            member = getattr(member, step, None)
        if member is not None:
            found[seam.attribute] = member
    return found


def shape(function: Any) -> tuple[object, ...]:
    return (
        signature(function),
        function.__name__,
        function.__qualname__,
        function.__module__,
        function.__doc__,
        inspect.isfunction(function),
        inspect.iscoroutinefunction(function),
        inspect.isasyncgenfunction(function),
        inspect.isgeneratorfunction(function),
        inspect.getsource(function),
        callable(function),
        hash(function) == hash(function),
    )


@pytest.mark.parametrize("client", [*harm.CLIENTS, "threads"])
def test_a_patched_method_looks_the_same(client):
    plain = {name: shape(method) for name, method in methods(client).items()}
    with capture():
        during = {name: shape(method) for name, method in methods(client).items()}
    assert during == plain


# --- tracebacks ------------------------------------------------------------------------------------------------------


def frames(lab: harm.Lab, scenario: harm.Scenario) -> list[list[tuple[str, str]]]:
    """The frames of what a scenario raises, and of everything in its chain."""
    found: list[list[tuple[str, str]]] = []
    try:
        scenario.play(lab)
    except Exception as caught:  # noqa: BLE001 - what the user sees
        error: BaseException | None = caught
        while error is not None:
            found.append([(frame.filename, frame.name) for frame in traceback.extract_tb(error.__traceback__)])
            error = error.__cause__ or error.__context__
    return found


RAISING = ("refused", "dies", "raised_in_with", "refused_later", "raised_in_with_later")


@pytest.mark.parametrize("scenario", harm.named(*RAISING), ids=str)
def test_a_traceback_holds_at_most_one_frame_of_ours(lab, scenario):
    plain = frames(lab, scenario)
    assert plain
    with capture():
        during = frames(lab, scenario)
    assert [[frame for frame in error if not frame[0].startswith(OURS)] for error in during] == plain
    assert max(sum(frame[0].startswith(OURS) for frame in error) for error in during) <= 1


def test_the_callers_own_chain_is_kept(lab):
    def play() -> BaseException:
        cause = LookupError("cause")
        try:
            try:
                raise cause
            except LookupError as error:
                lab.provider.enqueue(harm.openai_error(400))
                try:
                    harm.named("create", clients=["openai"])[0].play(lab)
                except openai.BadRequestError as refused:
                    raise RuntimeError("mine") from refused
                raise AssertionError from error
        except RuntimeError as error:
            return error

    plain = play()
    with capture():
        during = play()
    assert harm.told_error(during) == harm.told_error(plain)
    assert isinstance(during.__cause__, openai.BadRequestError)
    # Raised within an `except`: its context, which the client's `from None` hides, is still there.
    context = during.__cause__.__context__
    assert type(context) is type(plain.__cause__.__context__ if plain.__cause__ else None)


# --- threads that carry a run -----------------------------------------------------------------------------------------


def _fails() -> None:
    raise KeyError("in a thread")


class Worker(Thread):
    """A thread that has its own `run`."""

    def run(self) -> None:
        """Do nothing."""


def threads() -> list[object]:
    """What a user sees of threads and executors."""
    seen: list[object] = []
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(_fails).exception()
        assert error is not None
        seen.append([frame.name for frame in traceback.extract_tb(error.__traceback__)])
        seen.append(type(pool.submit(len, "abc").result()).__name__)
    set_by_hand = Thread()
    set_by_hand.run = lambda: seen.append("by hand")
    for thread in (Thread(target=seen.append, args=("target",)), Worker(), set_by_hand):
        own = vars(thread).get("run")
        thread.start()
        thread.join()
        seen += [sorted(vars(thread)), vars(thread).get("run") is own, type(thread.run).__name__]
        with pytest.raises(RuntimeError, match="once"):
            thread.start()
        seen += [sorted(vars(thread)), vars(thread).get("run") is own]
    with pytest.raises(RuntimeError, match="not called"):
        Thread.__new__(Thread).start()
    return seen


def test_threads_that_carry_a_run_look_the_same():
    plain = threads()
    token = runs.set_current(runs.Run("r", "agent"))
    try:
        with capture():
            during = threads()
    finally:
        runs.reset_current(token)
    assert during[0] == ["run", "__call__", "_fails"]  # one frame more
    assert [plain[0], *during[1:]] == plain
