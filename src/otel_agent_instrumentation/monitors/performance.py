# SPDX-License-Identifier: Apache-2.0
"""The performance monitor (P1 to P9): tools, states, models, memory and artifacts of this process, in numbers.

    from otel_agent_instrumentation import performance_monitor

    performance_monitor.init()
    ...
    if performance_monitor.should_disable("web_search"):
        ...
    performance_monitor.export("performance.json")

Between `init()` and `destroy()` it hears what the instrumentation tells of unchanged code, and what an agent says on an
event bus. It never changes a call, and never raises.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..core import records
from ..core.contain import Contained, warn_once
from ..core.engine import engine
from ..core.settings import current as settings
from ..redaction.policy import default_policy
from .bus import Ear, EventBus
from .facts import total
from .heard import Heard
from .keeper import Keeper
from .limits import Limits, Verdict, judge
from .memory import Memory
from .observed import Observed

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from .bus import Bus
    from .facts import Names
    from .limits import Alert

ALERT = "performance:alert"
"""The event on the bus that goes with each alert."""
_INIT = Contained("monitor.init")
_DESTROY = Contained("monitor.destroy")
_ALERT = Contained("monitor.alert")
_EXPORT = Contained("monitor.export")


class PerformanceMonitor:
    """The monitor of this process; there is one, `performance_monitor`.

    All that it returns is a copy. Times are seconds, sizes bytes, costs US dollars.
    """

    def __init__(self, alert: Callable[[Alert], object]) -> None:
        """``alert``: what makes an event of an alert."""
        self.bus = EventBus()
        """Where an agent says what it does (docs/performance-monitor.md)."""
        self._alert = alert
        self._keeper = Keeper(self._tell)
        self._observed = Observed(self._keeper)
        self._heard = Heard(self._keeper)
        self._memory = Memory(self._sampled)
        self._keeper.at_reset.append(self._memory.reset)
        self._ears: list[Ear] = []
        self._watches_forks = False

    @property
    def active(self) -> bool:
        """Whether it listens."""
        return bool(self._ears)

    def init(self, bus: Bus | None = None) -> None:
        """Listen: to the instrumentation, to `bus`, and to an event bus of the agent's own, if one is given.

        :param bus: anything with ``on(name, handler)``, and best with ``off(name, handler)``.

        Twice is once. The settings are those of `OTEL_AGENT_MONITOR_*`.
        """
        with _INIT:
            self._keeper.limits = Limits.of(settings())
            if not self.active:
                engine.add_observer(self._observed)
                records.add_tap(self._observed.name, self._observed.on_event)
                self._observed.start()
                self._memory.start(settings().monitor_memory_interval)
                if hasattr(os, "register_at_fork") and not self._watches_forks:
                    self._watches_forks = True
                    os.register_at_fork(after_in_child=self._in_child)
                self._listen(self.bus)
        with _INIT:
            if bus is not None and all(ear.bus is not bus for ear in self._ears):
                self._listen(bus)

    def destroy(self) -> None:
        """Listen no more, and look at the memory no more. What was counted stays until `reset()`."""
        with _DESTROY:
            self._keeper.settle()
            engine.remove_observer(self._observed)
            self._observed.stop()
            records.remove_tap(self._observed.on_event)
            self._memory.stop()
        while self._ears:
            with _DESTROY:  # each by itself: a bus may be the agent's own
                self._ears.pop().close()

    def reset(self) -> None:
        """Begin at 0. What goes on was begun before, and its end counts nowhere."""
        self._keeper.reset()

    # --- what was counted ---------------------------------------------------------------------------------------------

    def get_metrics(self) -> dict[str, Any]:
        """All of it: `session`, `tools`, `states`, `llm`, `memory`, `events` that did not fit, the last `alerts`."""
        self._keeper.settle()
        with self._keeper.lock:
            facts = self._keeper.facts
            return {
                "session": {
                    "began": facts.began,
                    "seconds": time.time() - facts.began,
                    "cycles": facts.cycles,
                    "artifacts": facts.artifacts(),
                },
                "tools": self._tools(),
                "states": self._states(),
                "llm": self._llm(),
                "memory": self.get_memory_stats(),
                "events": dict(facts.odd),
                "alerts": [_plain(one) for one in self._keeper.alerts],
            }

    def get_tool_stats(self) -> dict[str, dict[str, Any]]:
        """By tool: calls, errors, durations, and how many run now (as far as the bus tells)."""
        return self._read(self._tools)

    def get_state_stats(self) -> dict[str, dict[str, Any]]:
        """By state: entries, dwell times, and how many agents are in it (as far as the bus tells)."""
        return self._read(self._states)

    def get_llm_stats(self) -> dict[str, Any]:
        """All requests as one, and under `models` by model: requests, errors, latency, tokens, cost."""
        return self._read(self._llm)

    def get_memory_stats(self) -> dict[str, Any]:
        """The resident memory as it was sampled: now, peak, mean, growth a minute, the last 360 samples."""
        return self._memory.told()

    def _read(self, what: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        self._keeper.settle()
        with self._keeper.lock:
            return what()

    def _tools(self) -> dict[str, dict[str, Any]]:
        return _told(self._keeper.facts.tools, self._heard.tools.active())

    def _states(self) -> dict[str, dict[str, Any]]:
        return _told(self._keeper.facts.states, self._heard.states())

    def _llm(self) -> dict[str, Any]:
        models = self._keeper.facts.models
        return {**total(models.known.values()), "models": _told(models, self._heard.requests.active())}

    # --- what follows from it -----------------------------------------------------------------------------------------

    def should_disable(self, tool: str, *, error_rate: float | None = None, seconds: float | None = None) -> Verdict:
        """Whether a tool fails too often, or is too slow, to be offered to the model: with the evidence.

        :param error_rate: limit of the share of failures (0 to 1); by default `OTEL_AGENT_MONITOR_ERROR_RATE`. Judged
            by the last 50 calls, and by so many that chance is no explanation: four failures out of four are.
        :param seconds: limit of the median time; by default `OTEL_AGENT_MONITOR_TOOL_SECONDS`, else none.

        The verdict is true or false as such, and has `reasons` and `evidence`.
        """
        self._keeper.settle()
        limits = self._keeper.limits
        with self._keeper.lock:
            return judge(
                self._keeper.facts.tools.known.get(tool),
                limits.error_rate if error_rate is None else error_rate,
                limits.tool_seconds if seconds is None else seconds,
            )

    def export(self, path: str | os.PathLike[str]) -> bool:
        """Write all of it to a JSON file (mode 0600), redacted; whether it is there. A file is replaced as a whole.

        In it, tools, states and models are lists whose entries have a `name`.
        """
        with _EXPORT:
            told = self.get_metrics()
            for part in (told, told["llm"]):
                for key in ("tools", "states", "models"):
                    if key in part:
                        part[key] = [{"name": name, **numbers} for name, numbers in part[key].items()]
            clean, fields = default_policy().at("monitor").payload(told)
            data = msgspec.json.format(msgspec.json.encode({**clean, "redacted_fields": fields}), indent=2)
            try:
                _replace(Path(path), data)
            except OSError as error:
                warn_once(
                    f"monitor:export:{path}",
                    "otel-agent: the performance monitor cannot write %s (%s).",
                    path,
                    error.strerror or type(error).__name__,
                )
                return False
            return True
        return False

    # --- inside -------------------------------------------------------------------------------------------------------

    def _listen(self, bus: Bus) -> None:
        self._ears.append(Ear(bus, self._heard.handlers))

    def _sampled(self, rss: int) -> None:
        limit = self._keeper.limits.memory_bytes
        if limit is not None and rss > limit:
            self._keeper.warn(("memory", "process", rss, limit))

    def _tell(self, alert: Alert) -> None:
        with _ALERT:
            self._alert(alert)
        self.bus.emit(ALERT, _plain(alert))

    def _in_child(self) -> None:
        with _INIT:
            self._keeper.in_child()
            if self.active:
                self._observed.in_child()
                self._memory.in_child()


def _told(names: Names[Any], active: Counter[str]) -> dict[str, dict[str, Any]]:
    return {name: {**numbers, "active": active[name]} for name, numbers in names.told().items()}


def _plain(alert: Alert) -> dict[str, Any]:
    return {**asdict(alert), "message": alert.message()}


def _replace(path: Path, data: bytes) -> None:
    import tempfile

    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
