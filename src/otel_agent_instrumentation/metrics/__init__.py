# SPDX-License-Identifier: Apache-2.0
"""The metric catalogue: one row a metric. Instruments, views, documentation and tests derive from it.

A project's own metrics: `from otel_agent_instrumentation.metrics import Counter, Gauge, Histogram`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .own import EFFICIENCY as EFFICIENCY
    from .own import ENTROPY as ENTROPY
    from .own import GAPS as GAPS
    from .own import MISFITS as MISFITS
    from .own import PATCHES_APPLIED as PATCHES_APPLIED
    from .own import Counter as Counter
    from .own import Gauge as Gauge
    from .own import Histogram as Histogram
    from .own import update_state_gauges as update_state_gauges

__all__ = [
    "EFFICIENCY",
    "ENTROPY",
    "GAPS",
    "MISFITS",
    "PATCHES_APPLIED",
    "Counter",
    "Gauge",
    "Histogram",
    "update_state_gauges",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import own  # start-up does not pay for it

        return getattr(own, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
