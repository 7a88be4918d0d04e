# SPDX-License-Identifier: Apache-2.0
"""When what happens is worth a warning, and whether a tool is worth another call: from numbers, with the evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config import Settings
    from .facts import Tool

Rule = Literal["slow_tool", "slow_model", "spike", "failing_tool", "memory"]
_SURE = 1.96
"""Standard deviations: 95 %."""
_ENOUGH = 20
"""Calls before one of them can be called unusual."""
_NOTICED = 1.0
"""Seconds: what takes less is no spike, however unusual."""


class Limits(NamedTuple):
    """What is worth a warning."""

    tool_seconds: float | None = None
    model_seconds: float | None = None
    memory_bytes: int | None = None
    spike: float = 10.0
    """So many times the mean of the calls before it."""
    error_rate: float = 0.5
    """Of a tool's last calls."""

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Those of the settings."""
        return cls(
            settings.monitor_tool_seconds,
            settings.monitor_model_seconds,
            settings.monitor_memory_bytes,
            settings.monitor_spike,
            settings.monitor_error_rate,
        )

    def slow(self, rule: Rule, name: str, seconds: float, limit: float | None, before: tuple[int, float]) -> Found:
        """What is wrong with a call that took so long. ``before``: count and sum (seconds) of those before it."""
        if limit is not None and seconds > limit:
            return rule, name, seconds, limit
        count, total = before
        if seconds >= _NOTICED and count >= _ENOUGH and seconds * count > self.spike * total:
            return "spike", name, seconds, self.spike * total / count
        return None

    def failing(self, name: str, recent: Sequence[bool]) -> Found:
        """Whether so many of a tool's last calls failed that it is no accident."""
        rate = at_least(sum(recent), len(recent))
        return ("failing_tool", name, rate, self.error_rate) if rate >= self.error_rate else None


Found = tuple[Rule, str, float, float] | None
"""Rule, name, value, limit; None: nothing."""


def at_least(failed: int, count: int) -> float:
    """The rate of failures that lies behind ``failed`` of ``count`` with 97.5 % certainty (Wilson's lower bound)."""
    if not failed:
        return 0.0
    rate, square = failed / count, _SURE**2
    spread = _SURE * math.sqrt(rate * (1 - rate) / count + square / (4 * count**2))
    return (rate + square / (2 * count) - spread) / (1 + square / count)


@dataclass(frozen=True, slots=True)
class Alert:
    """Something worth a warning."""

    rule: Rule
    name: str
    """The tool or model; `process` for memory."""
    value: float
    """Seconds, bytes, or a rate (0 to 1)."""
    limit: float
    time: float
    """Seconds since the epoch."""

    def message(self) -> str:
        """One sentence."""
        value, limit = self.value, self.limit
        if self.rule == "memory":
            return f"the process takes {value / 2**20:.0f} MiB of memory, more than {limit / 2**20:.0f} MiB"
        if self.rule == "failing_tool":
            return f"the tool {self.name} fails: in the long run at least {value:.0%} of its calls"
        if self.rule == "spike":
            return f"{self.name} took {value:.1f} s, where up to {limit:.1f} s was to be expected"
        kind = "tool" if self.rule == "slow_tool" else "model"
        return f"the {kind} {self.name} took {value:.1f} s, more than {limit:.1f} s"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a tool had better be disabled. True and false as such: `if monitor.should_disable("search"): ...`."""

    disable: bool
    reasons: tuple[str, ...] = ()
    """`failing`, `slow`; empty where nothing speaks against it."""
    evidence: dict[str, Any] = field(default_factory=dict[str, Any])
    """The numbers that it rests on."""

    def __bool__(self) -> bool:
        return self.disable


def judge(tool: Tool | None, error_rate: float, seconds: float | None) -> Verdict:
    """Judge a tool by its last calls (failures) and by the median of all whose time is known."""
    if tool is None:
        return Verdict(disable=False, evidence={"calls": 0})
    failed, count = sum(tool.recent), len(tool.recent)
    rate, median = at_least(failed, count), tool.durations.quantile(0.5)
    reasons: list[str] = []
    if failed and rate >= error_rate:
        reasons.append("failing")
    if seconds is not None and median is not None and median > seconds:
        reasons.append("slow")
    evidence: dict[str, Any] = {
        "calls": tool.calls,
        "errors": tool.errors,
        "recent_calls": count,
        "recent_errors": failed,
        "error_rate_at_least": rate,
        "error_rate_limit": error_rate,
        "seconds_p50": median,
        "seconds_p95": tool.durations.quantile(0.95),
        "seconds_limit": seconds,
        "inferred": tool.inferred,
    }
    return Verdict(bool(reasons), tuple(reasons), evidence)
