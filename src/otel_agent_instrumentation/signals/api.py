# SPDX-License-Identifier: Apache-2.0
"""`run()`: an agent says where a run begins and ends, and for whom."""

from __future__ import annotations

import functools
import inspect
import time
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from opentelemetry import context as otel_context

from .. import semconv
from ..core import contain, runs
from ..core.contain import Contained, warn_once
from ..core.engine import engine
from ..core.runs import Run
from ..core.settings import current as settings
from ..redaction.policy import default_policy
from .run import RunTracker, end_span, start_span

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

P = ParamSpec("P")
R = TypeVar("R")

_RUN = Contained("run")
_OUTCOMES = ("ok", "error", "cancelled", "cycle_limit", "budget")
_MOST_ENTRIES = 32
_MOST_STAMPED = 64
_LONGEST = 256


class run:  # noqa: N801 - used as a verb: `with run("coder"):`
    """One run of an agent, as a context manager or a decorator, sync or async.

    Every span, event and log below it carries the run's id and cycle, through `await`, threads and executors.

    :param agent: the agent's name; by default `OTEL_AGENT_NAME`, else the service's, else the program's.
    :param task: what the run is about, in a few words.
    :param user: `user.id` of everything below.
    :param session: `session.id` of everything below.
    :param tags: up to 32 short words or key-value pairs (`agent.tags`).
    :param metadata: up to 32 key-value pairs, as `agent.metadata.<key>`; values longer than 256 characters are cut.
    :param run_id: an id of your own instead of a generated one.

    None of it becomes a metric label or is sent to a provider. After the block, `outcome` is `ok`, `error` or
    `cancelled`; set it yourself to `cycle_limit` or `budget` where that ended the run.
    """

    def __init__(  # noqa: PLR0913 - all but the first are keywords
        self,
        agent: str | None = None,
        *,
        task: str | None = None,
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] | Mapping[str, str] = (),
        metadata: Mapping[str, object] | None = None,
        run_id: str | None = None,
    ) -> None:
        self._given = (agent, task, user, session, tags, metadata, run_id)
        self._run: Run | None = None
        self._outcome: semconv.RunOutcome | None = None
        self._current: Any = None
        self._attached: Any = None

    @property
    def id(self) -> str:
        """The run's id: the name of its ledger file. Empty outside the block."""
        return self._run.id if self._run is not None else ""

    @property
    def cycle(self) -> int:
        """The cycle that is going on; 0 before the first model call."""
        return self._run.cycle if self._run is not None else 0

    @property
    def outcome(self) -> semconv.RunOutcome | None:
        """How the run ended, or what was said of it so far."""
        return self._outcome

    @outcome.setter
    def outcome(self, outcome: semconv.RunOutcome) -> None:
        if outcome in _OUTCOMES:
            self._outcome = outcome
        else:
            warn_once("run:outcome", "otel-agent: run outcome %r is not one of %s; ignored", outcome, _OUTCOMES)

    def __enter__(self) -> Self:
        with _RUN:
            self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _RUN:
            self._end(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Make each call of ``function`` a run. Generators are not supported: open the run inside them."""
        with _RUN:
            return self._around(function)
        return function

    def _around(self, function: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def one_run(*args: P.args, **kwargs: P.kwargs) -> Any:
                again = contain.call("run", self._again)
                if again is None:
                    return await function(*args, **kwargs)
                async with again:
                    return await function(*args, **kwargs)

            return one_run  # type: ignore[return-value]

        @functools.wraps(function)
        def one(*args: P.args, **kwargs: P.kwargs) -> R:
            again = contain.call("run", self._again)
            if again is None:
                return function(*args, **kwargs)
            with again:
                return function(*args, **kwargs)

        return one

    def _again(self) -> run:
        agent, task, user, session, tags, metadata, run_id = self._given
        return run(agent, task=task, user=user, session=session, tags=tags, metadata=metadata, run_id=run_id)

    def _begin(self) -> None:
        agent, task, user, session, tags, metadata, run_id = self._given
        outer = runs.current()
        within = outer if outer is not None and not outer.implicit else None
        made = Run(run_id or (within.id if within is not None else runs.new_id()), agent or settings().agent())
        made.task = task
        own = _stamp(user, session, tags, metadata)
        given = {key: value for key, value in (within.stamp if within is not None else {}).items() if key not in own}
        made.stamp = dict([*given.items(), *own.items()][-_MOST_STAMPED:])
        made.tags = _ledger_tags(task, session, tags)
        self._run = made
        tracker = engine.runs
        if isinstance(tracker, RunTracker):
            with _RUN:
                start_span(tracker.tracer, made, otel_context.get_current())
        self._current = runs.set_current(made)
        if made.context is not None:
            self._attached = otel_context.attach(made.context)

    def _end(self, error: BaseException | None) -> None:
        made, current, attached = self._run, self._current, self._attached
        if made is None or current is None:
            return
        self._current = self._attached = None
        with _RUN:  # each by itself: the caller's context comes first
            if attached is not None:
                otel_context.detach(attached)
        with _RUN:
            runs.reset_current(current)
        if self._outcome is None:
            self._outcome = _outcome(error)
        made.outcome = self._outcome
        tracker = engine.runs
        name = type(error).__qualname__ if error is not None and made.outcome == "error" else None
        if isinstance(tracker, RunTracker) and "span" in made.scratch:
            end_span(tracker, made, time.time_ns(), name)
        made.ended = True


def _outcome(error: BaseException | None) -> semconv.RunOutcome:
    if error is None:
        return "ok"
    if type(error).__name__ == "CancelledError" or isinstance(error, (KeyboardInterrupt, GeneratorExit)):
        return "cancelled"
    return "ok" if isinstance(error, SystemExit) and not error.code else "error"


def _short(value: object) -> Any:
    if isinstance(value, (bool, int, float)):
        return value
    told = str(value)
    return told if len(told) <= _LONGEST else told[:_LONGEST]


def _stamp(
    user: str | None,
    session: str | None,
    tags: Sequence[str] | Mapping[str, str],
    metadata: Mapping[str, object] | None,
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if user is not None:
        found[semconv.USER_ID] = _short(user)
    if session is not None:
        found[semconv.SESSION_ID] = _short(session)
    if tags:
        pairs: Any = getattr(tags, "items", None)
        words = list(tags) if pairs is None else [f"{_short(key)}={_short(value)}" for key, value in pairs()]
        found[semconv.TAGS] = tuple(str(_short(word)) for word in words[:_MOST_ENTRIES])
    for key, value in list((metadata or {}).items())[:_MOST_ENTRIES]:
        found[semconv.METADATA_PREFIX + str(key)[:_LONGEST]] = _short(value)
    # Here, not on the way out: it is also stamped on other people's log records, behind the guard.
    return dict(default_policy().at("run").attributes(found))


def _ledger_tags(task: str | None, session: str | None, tags: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    found = {"task": str(_short(task))} if task is not None else {}
    if session is not None:
        found["session_id"] = str(_short(session))
    if hasattr(tags, "items"):
        pairs = list(tags.items())[:_MOST_ENTRIES]  # type: ignore[union-attr]
        found.update({str(_short(key)): str(_short(value)) for key, value in pairs})
    else:
        found.update({str(_short(word)): "true" for word in list(tags)[:_MOST_ENTRIES]})
    return dict(default_policy().at("run").attributes(found))
