# SPDX-License-Identifier: Apache-2.0
"""`run()`: an agent says where a run begins and ends, and for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import semconv
from ..core import runs
from ..core.contain import Contained, warn_once
from ..core.context import current as current_context
from ..core.context import ids_in
from ..core.engine import engine
from ..core.runs import Run
from ..core.settings import current as settings
from ..redaction.policy import default_policy
from .blocks import Block, how
from .run import RunTracker, begin_root, end_root

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..core.runs import Place

_RUN = Contained("run")
_OUTCOMES = ("ok", "error", "cancelled", "cycle_limit", "budget")
_MOST_ENTRIES = 32
_MOST_STAMPED = 64
_LONGEST = 256


class run(Block):  # noqa: N801 - used as a verb: `with run("coder"):`
    """One run of an agent, as a context manager or a decorator, sync or async.

    Every span, event and log below it carries the run's id and cycle, through `await`, threads and executors.

    :param agent: the agent's name; by default `OTEL_AGENT_NAME`, else the service's, else the program's.
    :param task: what the run is about, in a few words.
    :param user: `user.id` of everything below.
    :param session: `session.id` of everything below.
    :param tags: up to 32 short words or key-value pairs (`agent.tags`).
    :param metadata: up to 32 key-value pairs, as `agent.metadata.<key>`; values longer than 256 characters are cut.
    :param run_id: an id of your own instead of a generated one.
    :param max_cycles: after how many cycles the agent gives up. Nothing is stopped by it: a run that ends by itself in
        that cycle, or after it, while its last model call still asked for a tool (or made none), is a `cycle_limit`.

    None of it becomes a metric label or is sent to a provider. After the block, `outcome` is `ok`, `error`, `cancelled`
    or `cycle_limit`; set it yourself to `cycle_limit` or `budget` where you know better. `stop_reason` says why in a
    word: yours, else the error's class, else the last model call's finish reason.
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
        max_cycles: int | None = None,
    ) -> None:
        self._places = []
        self._given = (agent, task, user, session, tags, metadata, run_id)
        self._max_cycles = max_cycles
        self._run: Run | None = None
        self._outcome: semconv.RunOutcome | None = None
        self.stop_reason: str | None = None

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

    def _begin(self) -> Place:
        agent, task, user, session, tags, metadata, run_id = self._given
        self._outcome = self.stop_reason = None  # of an earlier run with the same object
        runs.mend()
        here, parent = runs.place(), current_context()
        within = here.run if here is not None and here.run is not None and not here.run.implicit else None
        made = Run(run_id or (within.id if within is not None else runs.new_id()), agent or settings().agent())
        made.task = task
        own = _stamp(user, session, tags, metadata)
        given = {key: value for key, value in (within.stamp if within is not None else {}).items() if key not in own}
        made.stamp = dict([*given.items(), *own.items()][-_MOST_STAMPED:])
        made.tags = _ledger_tags(task, session, tags)
        if within is not None and within.id == made.id and runs.is_elsewhere(within):
            runs.note_elsewhere(made.id)
        self._run = made
        if here is not None and within is not None and ids_in(parent) is None:
            parent = here.context or within.context or parent
        tracker = engine.runs
        if isinstance(tracker, RunTracker):
            with _RUN:
                begin_root(tracker, made, parent)
        return runs.Place(made, context=made.context, scratch=made.scratch.get("root"))

    def _end(self, place: Place, error: BaseException | None) -> None:
        made = place.run
        if made is None:
            return
        most = self._max_cycles
        if self._outcome is None:
            self._outcome = how(error)
            limited = most is not None and made.cycle >= most and (made.wants_more or made.last_reason is None)
            if self._outcome == "ok" and limited:
                self._outcome = "cycle_limit"
                self.stop_reason = self.stop_reason or "max_cycles"
        made.outcome = self._outcome
        if self.stop_reason is None and error is not None and made.outcome != "ok":
            self.stop_reason = type(error).__qualname__
        if self.stop_reason is not None:
            made.stop_reason = str(_short(default_policy().text(str(self.stop_reason))))
        tracker = engine.runs
        name = type(error).__qualname__ if error is not None and made.outcome == "error" else None
        if isinstance(tracker, RunTracker):
            end_root(tracker, made, None, name)
        made.ended = True


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
