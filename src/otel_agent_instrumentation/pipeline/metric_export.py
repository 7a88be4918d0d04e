# SPDX-License-Identifier: Apache-2.0
"""A metric exporter for the SDK's periodic reader that retries briefly, ends when the exit says so, and keeps books.

Metrics need no queue: a cumulative series lost once is whole again at the next interval. So a failed export is retried
only within the time that the reader allows, and never beyond the exit's deadline.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult

from ..core import contain
from . import trouble
from .accounts import Accounts
from .duty import on_duty
from .forks import reset_after_fork
from .outcome import FAULT, Outcome, Verdict

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData

_PAUSES = (0.5, 1.0, 2.0)
_NEVER = float("inf")
_SLACK = 0.5


class BoundedMetricExporter(MetricExporter):
    """Exports through ``target`` (a `Target` of `MetricsData`), within ``timeout`` seconds an export.

    Register it with the exit coordinator, and the reader's or provider's ``shutdown`` as a call of its own.
    """

    def __init__(self, target: Any, timeout: float = 10.0) -> None:
        preferences = getattr(target, "preferences", None)
        temporality, aggregation = preferences() if preferences else (None, None)
        super().__init__(preferred_temporality=temporality, preferred_aggregation=aggregation)
        self._target = target
        self._timeout = timeout
        self._deadline = _NEVER
        self._start_over()
        self.accounts = Accounts("metric points", target.name, self._pending)
        reset_after_fork(self)

    def _start_over(self) -> None:
        self._flying = 0
        self._closed = False
        self._ending = threading.Event()

    def reset_in_child(self) -> None:
        """Begin anew in a forked child."""
        self._start_over()
        self._deadline = _NEVER
        self._target.renew()

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:
        """Export, with up to three retries in time. Never raises."""
        points = _count(metrics_data)
        with self.accounts.lock:
            if self._closed:
                self.accounts.dropped["after_shutdown"] += points
                return MetricExportResult.FAILURE
            self._flying += points
        deadline = min(time.monotonic() + min(self._timeout, timeout_millis / 1000), self._deadline)
        outcome = contain.call("pipeline.metrics", self._deliver, metrics_data, deadline, default=FAULT) or FAULT
        self._book(points, outcome)
        return MetricExportResult.SUCCESS if outcome.verdict is Verdict.DELIVERED else MetricExportResult.FAILURE

    def _deliver(self, metrics_data: MetricsData, deadline: float) -> Outcome:
        outcome = Outcome(Verdict.RETRY, "deadline")
        with on_duty():
            for pause in (*_PAUSES, _NEVER):
                left = min(deadline, self._deadline) - time.monotonic()
                if left <= 0:
                    break
                # At exit the cut is `finish_exit`, which books what is in the air, and not a timeout just before it.
                outcome = self._target.attempt(metrics_data, left + (_SLACK if self._ending.is_set() else 0.0))
                if outcome.verdict is not Verdict.RETRY:
                    break
                wait = max(pause, outcome.retry_after or 0.0)
                if wait >= deadline - time.monotonic():
                    break
                # The exit wakes whoever waits here; the tries that are left follow at once.
                self._ending.wait(wait)
        return outcome

    def _book(self, points: int, outcome: Outcome) -> None:
        with self.accounts.lock:
            if self._closed:
                if outcome.maybe_delivered:
                    return
                self.accounts.unknown -= points
            else:
                self._flying -= points
            if outcome.verdict is Verdict.DELIVERED:
                rejected = min(outcome.rejected, points)
                self.accounts.exported += points - rejected
                if rejected:
                    self.accounts.dropped["rejected"] += rejected
                return
            self.accounts.dropped[outcome.reason] += points
            self.accounts.trouble[outcome.reason] += 1
        trouble.tell_lost("metric points", self._target.name, outcome.reason)

    def begin_exit(self, deadline: float) -> None:
        """Let no attempt last beyond ``deadline`` (`time.monotonic` seconds)."""
        self._deadline = deadline
        self._ending.set()

    def finish_exit(self, deadline: float) -> bool:  # noqa: ARG002 - the reader is what is waited for
        """Book what is still in the air as unknown; returns whether there was nothing."""
        with self.accounts.lock:
            flying, self._flying = self._flying, 0
            self.accounts.unknown += flying
            self._closed = True
        return not flying

    def flush(self, timeout: float) -> bool:  # noqa: ARG002 - nothing is held here
        """Nothing waits here: the reader collects and exports in one step."""
        return True

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - see `flush`
        """Nothing waits here."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:  # noqa: ARG002 - closing does not wait
        """Release the connection."""
        contain.call("pipeline.close", self._target.close)

    def _pending(self) -> tuple[int, int]:
        return self._flying, 0


def _count(metrics_data: MetricsData) -> int:
    return sum(
        len(metric.data.data_points)
        for resource in metrics_data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )
