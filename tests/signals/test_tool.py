# SPDX-License-Identifier: Apache-2.0
"""`@tool`: a function stays what it is, and each call of it is a span."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest

import otel_agent_instrumentation
from otel_agent_instrumentation import run, semconv, suppress, tool
from otel_agent_instrumentation.bootstrap import install
from otel_agent_instrumentation.testing.capture import Captured, capture
from otel_agent_instrumentation.testing.provider import Tool
from runs_seen import of, span_id
from tool_loops import LOOPS, ids_of, noop, tools_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from clients import Scene

pytestmark = pytest.mark.matrix


@tool
def add(a: int, b: int = 2) -> int:
    """Add two numbers.

    Not needed for the description.
    """
    return a + b


@tool(name="edit_file", description="Write a text.", redact=["secret"])
def edit(path: str, text: str, *rest: int, secret: str = "", **more: Any) -> dict[str, Any]:
    return {"path": path, "size": len(text) + len(secret)}


@tool
async def wait(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


@tool
def count(to: int) -> Generator[int, str | None, str]:
    said = ""
    for number in range(to):
        said = (yield number) or said
    return said


@tool
async def acount(to: int) -> AsyncGenerator[int, None]:
    for number in range(to):
        yield number
        await asyncio.sleep(0)


class Box:
    def __init__(self) -> None:
        self.things = [3]

    @tool
    def first(self, default: int = 0) -> int:
        return self.things[0] or default

    @tool
    @classmethod
    def made(cls, n: int) -> str:
        return f"{cls.__name__}{n}"

    @classmethod
    @tool
    def also(cls, n: int) -> str:
        return f"{cls.__name__}{n}"

    @tool
    @staticmethod
    def plain(n: int) -> int:
        return n

    @staticmethod
    @tool
    def bare(n: int) -> int:
        return n


def add_plain(a: int, b: int = 2) -> int:
    """Add two numbers.

    Not needed for the description.
    """
    return a + b


# --- what stays as it was ---------------------------------------------------------------------------------------------


def test_a_function_stays_what_it_is() -> None:
    assert type(add) is type(add_plain)
    assert (add.__name__, add.__qualname__, add.__module__, add.__doc__) == ("add", "add", __name__, add_plain.__doc__)
    assert inspect.signature(add) == inspect.signature(add_plain)
    assert inspect.getfullargspec(add) == inspect.getfullargspec(add_plain)
    assert inspect.unwrap(add) is not add
    assert "return a + b" in inspect.getsource(add)
    assert tool(add) is add


KINDS: list[tuple[Callable[..., Any], str]] = [
    (add, "isfunction"),
    (wait, "iscoroutinefunction"),
    (count, "isgeneratorfunction"),
    (acount, "isasyncgenfunction"),
]


@pytest.mark.parametrize(("function", "kind"), KINDS)
def test_its_kind_is_what_it_was(function: Any, kind: str) -> None:
    for name in ("iscoroutinefunction", "isgeneratorfunction", "isasyncgenfunction"):
        assert getattr(inspect, name)(function) is (name == kind), name


def test_methods_bind_and_descriptors_stay() -> None:
    box = Box()
    for captured in (None, capture()):
        if captured is not None:
            captured.__enter__()
        assert (box.first(), box.made(1), Box.also(2), box.plain(3), Box.bare(4)) == (3, "Box1", "Box2", 3, 4)
        assert type(vars(Box)["made"]) is type(vars(Box)["also"]) is classmethod
        assert type(vars(Box)["plain"]) is type(vars(Box)["bare"]) is staticmethod
        assert box.first.__self__ is box
        assert str(inspect.signature(box.first)) == "(default: 'int' = 0) -> 'int'"
        if captured is not None:
            captured.__exit__(None, None, None)


def test_it_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(noop)) is noop  # noqa: S301 - our own bytes


@pytest.mark.logs
def test_what_is_no_function_is_left_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    assert tool(Box) is Box
    assert "@tool takes functions" in caplog.text


def test_without_instrumentation_it_only_runs() -> None:
    assert (add(1), edit("a", "b", secret="c")["size"], list(count(2))) == (3, 2, [0, 1])
    assert asyncio.run(wait(0)) == "done"


def test_exceptions_and_results_are_the_functions_own() -> None:
    boom, result = ValueError("boom"), object()

    @tool
    def fails() -> None:
        raise boom

    @tool
    def gives() -> object:
        return result

    with capture() as captured:
        with pytest.raises(ValueError, match="boom") as seen:
            fails()
        assert seen.value is boom
        assert gives() is result
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            add()  # type: ignore[call-arg]
        failed, fine, wrong = tools_of(captured.spans())
    assert (failed.status.status_code.name, of(failed, semconv.ERROR_TYPE), failed.events) == (
        "ERROR",
        "ValueError",
        (),
    )
    assert fine.status.status_code.name == "UNSET"
    assert of(wrong, semconv.ERROR_TYPE) == "TypeError"


# --- what is told -----------------------------------------------------------------------------------------------------


def test_a_call_is_a_span_and_a_measurement() -> None:
    with capture() as captured, run("coder"):
        add(1)
        edit("a.py", "text")
        first, second = tools_of(captured.spans())
        durations = {p.attributes[semconv.TOOL_NAME]: p.count for p in captured.points(semconv.EXECUTE_TOOL_DURATION)}
        counts = {p.attributes[semconv.TOOL_NAME]: p.value for p in captured.points(semconv.TOOL_CALLS)}
    assert (first.name, first.kind.name) == ("execute_tool add", "INTERNAL")
    assert of(first, semconv.TOOL_TYPE) == "function"
    assert of(first, semconv.TOOL_DESCRIPTION) == "Add two numbers."
    assert (second.name, of(second, semconv.TOOL_DESCRIPTION)) == ("execute_tool edit_file", "Write a text.")
    assert durations == counts == {"add": 1, "edit_file": 1}
    assert not {semconv.TOOL_CALL_ARGUMENTS, semconv.TOOL_CALL_RESULT, semconv.TOOL_INFERRED} & set(
        first.attributes or {}
    )


def test_calls_within_a_tool_hang_below_it() -> None:
    @tool
    def outer() -> int:
        return add(1)

    with capture() as captured, run("coder"):
        outer()
        above, below = tools_of(captured.spans())
    assert below.parent is not None
    assert below.parent.span_id == span_id(above)


def test_a_tool_that_calls_itself_is_a_span_each_time() -> None:
    @tool
    def down(n: int) -> int:
        return down(n - 1) if n else 0

    with capture() as captured:
        down(2)
        assert len(tools_of(captured.spans())) == 3


def test_suppressed_it_only_runs() -> None:
    with capture() as captured, suppress():
        assert add(1) == 3
        assert list(count(2)) == [0, 1]
        assert tools_of(captured.spans()) == []


def test_arguments_and_result_where_content_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    with capture() as captured:
        edit("a.py", "sk-proj-" + "a1B2" * 12, 7, secret="hunter2", api_key="plain", mode="w")
        Box().first(default=1)
        written, method = tools_of(captured.spans())
    told = json.loads(of(written, semconv.TOOL_CALL_ARGUMENTS))
    assert (told["path"], told["rest"], told["mode"], told["secret"]) == ("a.py", [7], "w", "REDACTED")
    assert told["api_key"] == "REDACTED"
    hidden = [f"attributes['{semconv.TOOL_CALL_ARGUMENTS}'].{key}" for key in ("api_key", "secret", "text")]
    assert list(of(written, semconv.REDACTED_FIELDS)) == hidden
    assert of(method, semconv.REDACTED_FIELDS) is None
    assert "a1B2a1B2" not in told["text"]
    assert json.loads(of(written, semconv.TOOL_CALL_RESULT))["path"] == "a.py"
    assert json.loads(of(method, semconv.TOOL_CALL_ARGUMENTS)) == {"default": 1}


@pytest.mark.parametrize("mode", ["NO_CONTENT", "EVENT_ONLY"])
def test_no_content_on_the_span_where_it_is_not_asked_for(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", mode)
    with capture() as captured:
        edit("canary-path", "canary-text")
        (span,) = tools_of(captured.spans())
        assert "canary" not in span.to_json()
        assert "canary" not in repr(captured.lines())
        assert "canary" not in repr([log.body for log in captured.logs()])


def test_long_values_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    monkeypatch.setenv("OTEL_AGENT_CONTENT_LIMIT", "1000")

    @tool
    def big(things: list[str]) -> str:
        return "x" * 5000

    with capture() as captured:
        big(["y" * 400] * 50)
        (span,) = tools_of(captured.spans())
    assert len(of(span, semconv.TOOL_CALL_ARGUMENTS)) <= 1000
    json.loads(of(span, semconv.TOOL_CALL_ARGUMENTS))
    assert len(of(span, semconv.TOOL_CALL_RESULT)) <= 1001


# --- coroutines and generators ----------------------------------------------------------------------------------------


def test_a_coroutine_covers_its_awaits_and_tells_its_cancellation() -> None:
    async def main() -> None:
        await wait(0.02)
        task = asyncio.create_task(wait(30))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with capture() as captured:
        asyncio.run(main())
        done, cancelled = tools_of(captured.spans())
    assert (done.end_time or 0) - (done.start_time or 0) >= 15_000_000
    assert (cancelled.status.status_code.name, of(cancelled, semconv.ERROR_TYPE)) == ("ERROR", "CancelledError")


def spans_after(captured: Captured) -> list[Any]:
    gc.collect()
    install.close_open()
    return tools_of(captured.spans())


def test_a_generator_takes_what_is_sent_and_returns_what_it_returns() -> None:
    with capture() as captured:
        made = count(3)
        assert inspect.isgenerator(made)
        assert tools_of(captured.spans()) == []
        assert (next(made), made.send("a"), made.send("b")) == (0, 1, 2)
        with pytest.raises(StopIteration) as stop:
            next(made)
        assert stop.value.value == "b"
        (span,) = tools_of(captured.spans())
    assert span.status.status_code.name == "UNSET"
    assert of(span, semconv.STREAM_END) is None


def test_a_generator_handles_what_is_thrown_in() -> None:
    @tool
    def patient() -> Generator[str, None, None]:
        try:
            yield "first"
        except KeyError as error:
            yield repr(error)
        raise OSError("gone")

    with capture() as captured:
        made = patient()
        assert (next(made), made.throw(KeyError("k"))) == ("first", "KeyError('k')")
        with pytest.raises(OSError, match="gone"):
            next(made)
        (span,) = tools_of(captured.spans())
    assert of(span, semconv.ERROR_TYPE) == "OSError"


@pytest.mark.parametrize("way", ["break", "close", "drop"])
def test_a_generator_that_is_left_ends_once(way: str) -> None:
    cleaned: list[str] = []

    @tool
    def endless() -> Generator[int, None, None]:
        try:
            while True:
                yield 1
        finally:
            cleaned.append(way)

    with capture() as captured:
        made = endless()
        if way == "break":
            for _ in made:
                break
        else:
            next(made)
        if way == "close":
            made.close()
        del made
        (span,) = spans_after(captured)
    assert cleaned == [way]
    assert (span.status.status_code.name, of(span, semconv.STREAM_END)) == ("UNSET", "abandoned")


def test_a_generator_that_somebody_still_holds_ends_at_the_end() -> None:
    with capture() as captured:
        made = count(5)
        next(made)
        install.close_open()
        assert len(tools_of(captured.spans())) == 1
        assert list(made) == [1, 2, 3, 4]
        assert len(spans_after(captured)) == 1


def test_one_that_is_never_begun_has_no_span() -> None:
    with capture() as captured:
        count(5).close()
        assert spans_after(captured) == []


def test_no_context_is_attached_across_a_yield() -> None:
    from opentelemetry import trace

    seen: list[bool] = []

    @tool
    def looks() -> Generator[int, None, None]:
        seen.append(trace.get_current_span().get_span_context().is_valid)
        yield 1
        seen.append(trace.get_current_span().get_span_context().is_valid)

    with capture():
        for _ in looks():
            assert not trace.get_current_span().get_span_context().is_valid
    assert seen == [True, True]


def test_an_async_generator_ends_once_on_every_way_out() -> None:
    async def main() -> None:
        assert [number async for number in acount(3)] == [0, 1, 2]
        made: Any = acount(3)
        assert inspect.isasyncgen(made)
        async for _ in made:
            break
        await made.aclose()
        thrown = acount(3)
        await thrown.__anext__()
        with pytest.raises(KeyError):
            await thrown.athrow(KeyError("k"))

    with capture() as captured:
        asyncio.run(main())
        drained, left, failed = spans_after(captured)
    assert (of(drained, semconv.STREAM_END), of(drained, semconv.ERROR_TYPE)) == (None, None)
    assert (of(left, semconv.STREAM_END), of(left, semconv.ERROR_TYPE)) == ("abandoned", None)
    assert of(failed, semconv.ERROR_TYPE) == "KeyError"


# --- the call that the model asked for --------------------------------------------------------------------------------


@tool
def get_weather(city: str, unit: str = "C") -> str:
    return f"21 {unit} in {city}"


@pytest.mark.parametrize("kind", LOOPS, ids=lambda kind: kind.api)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_measured_tool_takes_the_id_of_its_call(kind: Any, stream: bool, scene: Scene) -> None:
    loop = kind(scene, stream=stream)
    first, second = Tool(id="a", arguments='{"city": "Paris"}'), Tool(id="b", arguments='{"city":"Ghent"}')
    with capture() as captured:
        loop.ask(first, second)
        get_weather(**json.loads(second.arguments))  # in another order than asked
        get_weather("Paris", unit="K")
        get_weather("Oslo")  # the agent's own idea
        loop.results("a", "b")
        loop.ask()
        told = tools_of(captured.spans())
    assert [of(span, semconv.TOOL_CALL_ID) for span in told] == ["b", "a", None]
    assert {of(span, semconv.TOOL_INFERRED) for span in told} == {None}


def test_the_same_call_twice_takes_both_ids_in_order(scene: Scene) -> None:
    loop = LOOPS[0](scene)
    with capture() as captured:
        loop.ask(Tool(id="a"), Tool(id="b"))
        for _ in range(3):
            get_weather(city="Paris")
        assert [of(span, semconv.TOOL_CALL_ID) for span in tools_of(captured.spans())] == ["a", "b", None]


@pytest.mark.parametrize("wrong", ["name", "arguments", "run"])
def test_another_name_arguments_or_run_takes_nothing(wrong: str, scene: Scene) -> None:
    loop = LOOPS[0](scene)
    asked = Tool(id="a", name="get_time" if wrong == "name" else "get_weather")
    with capture() as captured:
        with run("first"):
            loop.ask(asked)
            if wrong != "run":
                get_weather("Rome" if wrong == "arguments" else "Paris")
        with run("second"):
            if wrong == "run":
                get_weather("Paris")
        assert ids_of(captured.spans()) == [None]


def test_long_arguments_are_matched_by_a_digest(scene: Scene) -> None:
    loop, city = LOOPS[0](scene), "Llanfair" * 1000
    with capture() as captured:
        loop.ask(Tool(id="a", arguments=json.dumps({"city": city})))
        get_weather("Paris")
        get_weather(city)
        assert [of(span, semconv.TOOL_CALL_ID) for span in tools_of(captured.spans())] == [None, "a"]


@pytest.mark.parametrize("arguments", ["", "{", "[1]", "null", '"x"', '{"city": NaN}', '{"unit": {"a": []}}'])
def test_odd_arguments_of_a_model_match_nothing_and_break_nothing(arguments: str, scene: Scene) -> None:
    loop = LOOPS[0](scene)
    with capture() as captured:
        loop.ask(Tool(id="a", arguments=arguments))
        assert get_weather("Paris") == "21 C in Paris"
        loop.results("a")
        loop.ask()
        assert sorted(map(str, ids_of(captured.spans()))) == ["None", "a"]


def test_tools_of_many_threads_take_each_id_once(scene: Scene) -> None:
    loop, most = LOOPS[0](scene), 60
    with capture() as captured, run("coder"):
        loop.ask(*(Tool(id=f"call_{n}") for n in range(most)))
        threads = [threading.Thread(target=get_weather, args=("Paris",)) for _ in range(most)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = ids_of(captured.spans())
    assert sorted(found) == sorted(f"call_{n}" for n in range(most))


def test_it_is_part_of_the_public_api() -> None:
    assert "tool" in otel_agent_instrumentation.__all__
    assert otel_agent_instrumentation.tool is tool
