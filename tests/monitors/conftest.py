# SPDX-License-Identifier: Apache-2.0
"""A monitor of its own for each test, with the alerts that it told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_agent_instrumentation.monitors.limits import Limits
from otel_agent_instrumentation.monitors.performance import PerformanceMonitor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_agent_instrumentation.monitors.limits import Alert


@pytest.fixture
def alerts() -> list[Alert]:
    return []


@pytest.fixture
def monitor(alerts: list[Alert]) -> Iterator[PerformanceMonitor]:
    made = PerformanceMonitor(alerts.append)
    made.init()
    made._keeper.limits = Limits()  # the settings in force are those of some test before
    yield made
    made.destroy()
