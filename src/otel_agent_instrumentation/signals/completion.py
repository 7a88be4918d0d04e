# SPDX-License-Identifier: Apache-2.0
"""The user's completion hook: it is given each model call's content, redacted, on a thread of its own.

The interface is `CompletionHook` of opentelemetry-util-genai (1.3b0, `completion_hook.py`), whose own hook `upload`
writes the content to a storage and names the place on the span. A hook that raises costs its completion, one that
blocks costs completions (the oldest waits, the newest are counted and left out), neither costs the call.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan

# OTel's cache, which the launcher has filled.
from opentelemetry.util._importlib_metadata import entry_points  # pyright: ignore[reportUnknownVariableType]

from .. import semconv
from ..core import contain
from ..core import settings as settings_in_force
from ..core.contain import Contained, warn_once
from ..core.suppress import silence
from ..pipeline.accounts import Accounts
from ..pipeline.forks import reset_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.trace import SpanContext

_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK"
_GROUP = "opentelemetry_genai_completion_hook"
_PATIENCE = 0.05
"""Seconds that a call waits for what the hook has to say on its span; one that takes longer is not waited for."""
_UNTIL_NEXT = 60.0
_MOST = 20
_MOST_ATTRIBUTES = 32
_LOAD = Contained("completion.load")
_HAND = Contained("completion.hand")


class _Noted(NonRecordingSpan):
    """Stands for the call's span: what the hook sets on it is noted, the span itself stays ours."""

    def __init__(self, context: SpanContext) -> None:
        super().__init__(context)
        self.noted: dict[str, Any] = {}

    def is_recording(self) -> bool:
        return True

    def set_attribute(self, key: str, value: Any) -> None:
        if len(self.noted) < _MOST_ATTRIBUTES:
            self.noted[key] = value

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        for key, value in attributes.items():
            self.set_attribute(key, value)


class _Theirs(Contained):
    """Contains what the hook raises, whatever it is: the thread is ours."""

    def swallows(self, error: BaseException | None) -> bool:
        contain.record_fault(self.site, error, told=True)
        warn_once(
            self.site,
            "otel-agent: the completion hook raised %s: that completion is not handed over, the call is unaffected. "
            "Further ones are counted in agent.telemetry.dropped.",
            type(error).__name__,
        )
        return True


_HOOK = _Theirs("completion.hook")


class _Completion(NamedTuple):
    parts: Mapping[str, Any]
    span: _Noted
    done: threading.Event


class Completions:
    """Hands completions to the hook of the entry point ``name``. At most 20 wait."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: deque[_Completion] = deque()
        self.accounts = Accounts("completions", "hook", lambda: (len(self._waiting) + self._busy, 0))
        self.reset_in_child()
        reset_after_fork(self)
        self._start()

    def reset_in_child(self) -> None:
        """A child begins with an empty queue; its thread starts with its first completion."""
        self._waiting.clear()
        self._busy = 0
        self._hook: Any = None
        self._loaded = False
        self._not_before = 0.0
        # Reentrant: a finaliser that ends a stream may hand over its completion while its thread is in here.
        self._wake = threading.Condition()
        self._ended = False
        self._thread: threading.Thread | None = None

    def hand_over(self, parts: Mapping[str, Any], ids: SpanContext | None) -> Mapping[str, Any]:
        """Hand ``parts`` to the hook; what it sets on the span, where it takes no longer than 50 ms."""
        completion = _Completion(parts, _Noted(ids or INVALID_SPAN_CONTEXT), threading.Event())
        with self._wake:
            if self._loaded and self._hook is None:
                return {}
            if len(self._waiting) >= _MOST:
                self.accounts.drop("queue_full")
                self._say_full()
                return {}
            free = self._loaded and not self._waiting and not self._busy
            waits = free and time.monotonic() >= self._not_before and threading.current_thread() is not self._thread
            self._waiting.append(completion)
            self._wake.notify()
        self._start()
        if waits and not completion.done.wait(_PATIENCE):
            self._not_before = time.monotonic() + _UNTIL_NEXT
            self._say_slow()
        return dict(completion.span.noted) if completion.done.is_set() else {}

    def finish(self, left: float, *, shutdown: bool) -> None:
        """Wait until all that waits was handed over, at most ``left`` seconds; then end the hook, if it can be."""
        deadline = time.monotonic() + left
        with self._wake:
            done = self._wake.wait_for(lambda: not self._waiting and not self._busy, left)
        end = getattr(self._hook, "shutdown", None)
        if shutdown and done and callable(end):
            with _HAND:
                end(timeout_sec=max(0.0, deadline - time.monotonic()))

    def _start(self) -> None:
        if self._thread is None:
            with self._wake:
                if self._thread is not None:
                    return
                self._thread = threading.Thread(target=self._work, name="otel-agent-completions", daemon=True)
            with _HAND:  # an ending interpreter starts none
                self._thread.start()

    def _work(self) -> None:
        silence()
        with _LOAD:
            self._hook = _load(self._name)
        with self._wake:
            self._loaded = True
            if self._hook is None:
                # Nothing keeps content for nobody.
                settings_in_force.use(settings_in_force.current()._replace(completion_hook=None))
                self._waiting.clear()
                self._wake.notify_all()
                return
        while self._one():
            pass

    def _one(self) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._ended)
            if not self._waiting:
                return False
            completion = self._waiting.popleft()
            self._busy = 1
        handed = False
        with _HOOK:
            _give(self._hook, completion)
            handed = True
        with self._wake:
            self._busy = 0
            if handed:
                with self.accounts.lock:
                    self.accounts.exported += 1
            else:
                self.accounts.drop("error")
            self._wake.notify_all()
        completion.done.set()
        return True

    def close(self) -> None:
        """Let the thread end when nothing waits any more."""
        with self._wake:
            self._ended = True
            self._wake.notify_all()

    def _say_full(self) -> None:
        warn_once(
            "completion:full",
            "otel-agent: the completion hook %r is slower than the calls: what comes while %d wait for it is not "
            "handed over, and counted in agent.telemetry.dropped.",
            self._name,
            _MOST,
        )

    def _say_slow(self) -> None:
        warn_once(
            "completion:slow",
            "otel-agent: the completion hook %r took longer than %d ms: calls do not wait for it, and their spans may "
            "lack what it sets on them.",
            self._name,
            int(_PATIENCE * 1000),
        )


def _give(hook: Any, completion: _Completion) -> None:
    parts, types = completion.parts, _Types()
    hook.on_completion(
        inputs=types.messages(parts.get(semconv.INPUT_MESSAGES) or (), types.genai.InputMessage),
        outputs=types.messages(parts.get(semconv.OUTPUT_MESSAGES) or (), types.genai.OutputMessage),
        system_instruction=[types.part(part) for part in parts.get(semconv.SYSTEM_INSTRUCTIONS) or ()],
        tool_definitions=[types.tool(tool) for tool in parts.get(semconv.TOOL_DEFINITIONS) or ()] or None,
        span=completion.span,
        log_record=None,
    )


def _load(name: str) -> Any:
    """The hook, or None after one warning that says what to do."""
    try:
        from opentelemetry.util.genai import types as genai  # pyright: ignore - optional, and looked for here

        genai.TextPart  # noqa: B018 - since 1.0  # pyright: ignore[reportUnknownMemberType, reportUnusedExpression]
    except (ImportError, AttributeError):
        _refuse(
            name,
            "needs the package opentelemetry-util-genai, 1.0 or later, which is not installed: "
            "`pip install 'opentelemetry-util-genai[upload]'`, or unset it",
        )
        return None
    known = {point.name: point for point in entry_points(group=_GROUP)}
    if name not in known:
        _refuse(name, f"is no entry point of {_GROUP} (there are: {', '.join(sorted(known)) or 'none'})")
        return None
    hook = contain.call("completion.load", known[name].load)
    hook = None if hook is None else contain.call("completion.load", hook)
    if not callable(getattr(hook, "on_completion", None)):
        _refuse(name, "could not be made: it raised, or has no method `on_completion`")
        return None
    return hook


def _refuse(name: str, why: str) -> None:
    warn_once("completion:load", "otel-agent: %s=%s %s. No completion is handed over.", _VARIABLE, name, why)


@dataclass
class DigestPart:
    """What stands for the bytes of an image, a sound or a file. A dataclass, as hooks expect."""

    modality: str | None
    mime_type: str | None
    sha256: str | None
    size: int | None
    type: str = "blob"


@dataclass
class OtherPart:
    """A part for which the convention has no class."""

    type: str
    content: Any = None


class _Types:
    """Makes the convention's classes, as util-genai has them, of the parts as they stand in attributes."""

    def __init__(self) -> None:
        from opentelemetry.util.genai import types as genai  # pyright: ignore - optional

        self.genai: Any = genai
        self._parts: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "text": lambda part: self.genai.TextPart(content=part.get("content")),
            "reasoning": lambda part: self.genai.ReasoningPart(content=part.get("content")),
            "tool_call": lambda part: self.genai.ToolCallRequestPart(
                arguments=part.get("arguments"), name=part.get("name"), id=part.get("id")
            ),
            "tool_call_response": lambda part: self.genai.ToolCallResponsePart(
                response=part.get("response"), id=part.get("id")
            ),
            "blob": lambda part: DigestPart(
                part.get("modality"), part.get("mime_type"), part.get("sha256"), part.get("size")
            ),
            "uri": lambda part: self.genai.UriPart(mime_type=None, modality=part.get("modality"), uri=part.get("uri")),
            "file": lambda part: self.genai.FilePart(
                mime_type=None, modality=part.get("modality"), file_id=part.get("file_id")
            ),
        }

    def messages(self, messages: Sequence[Mapping[str, Any]], kind: Any) -> list[Any]:
        """Messages of ``kind``."""
        return [self._message(message, kind) for message in messages]

    def _message(self, message: Mapping[str, Any], kind: Any) -> Any:
        reason = {"finish_reason": message["finish_reason"]} if message.get("finish_reason") else {}
        return kind(role=message["role"], parts=[self.part(part) for part in message["parts"]], **reason)

    def part(self, part: Mapping[str, Any]) -> Any:
        """The part's class."""
        make = self._parts.get(part["type"])
        return make(part) if make is not None else OtherPart(part["type"], part.get("content"))

    def tool(self, tool: Mapping[str, Any]) -> Any:
        """A tool's definition."""
        name, kind = str(tool.get("name", "")), str(tool.get("type") or "function")
        if kind != "function":
            return self.genai.GenericToolDefinition(name=name, type=kind)
        return self.genai.FunctionToolDefinition(
            name=name, description=tool.get("description"), parameters=tool.get("parameters")
        )


_completions: Completions | None = None


def use(completions: Completions | None) -> None:
    """Hand completions there from now on."""
    global _completions  # noqa: PLW0603 - one a process
    if _completions is not None:
        _completions.close()
    _completions = completions


def hand_over(parts: Mapping[str, Any], ids: SpanContext | None) -> Mapping[str, Any]:
    """Hand ``parts`` (redacted, by attribute name) to the hook; the attributes that it gives the span."""
    with _HAND:
        if _completions is not None:
            return _completions.hand_over(parts, ids)
    return {}


def finish(left: float, *, shutdown: bool) -> None:
    """Have the hook take what waits, within ``left`` seconds."""
    if _completions is not None:
        _completions.finish(left, shutdown=shutdown)
