# SPDX-License-Identifier: Apache-2.0
"""What a row of the catalogue says of a metric."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram", "updowncounter"]
Group = Literal["agent", "cost", "events", "llm", "mcp", "pipeline", "process", "safety", "state", "tools"]

CONVENTION = "OTel GenAI semantic conventions"
OURS = "otel-agent-instrumentation"


class Metric(NamedTuple):
    """One row of the catalogue. ``source``: where the name comes from."""

    name: str
    kind: Kind
    unit: str
    description: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()
    source: str = CONVENTION
    group: Group = "llm"
    zero: str = ""
    """When its series begin at 0, before there is anything to count; empty: with the first measurement."""
