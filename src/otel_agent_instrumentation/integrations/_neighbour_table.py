# SPDX-License-Identifier: Apache-2.0
"""The instrumentors of other vendors that we know: what they instrument, and how they are recognised."""

from __future__ import annotations

from typing import NamedTuple


class Neighbour(NamedTuple):
    """Another vendor's instrumentor of one client."""

    vendor: str
    client: str
    distribution: str
    package: str
    """Where its instrumentor and its wrappers are defined."""
    scope: str = ""
    """Its instrumentation scope, or the package above it; its ``package`` where not said."""


def within(name: str, package: str) -> bool:
    """Whether the dotted ``name`` is ``package`` or below it."""
    return name == package or name.startswith(f"{package}.")


LOGFIRE = "logfire._internal.integrations.llm_providers"
# As of genai 1.3b0, openai-v2 2.4b0, OpenInference 0.1.66 and 3.1.0, OpenLLMetry 0.62.4, OpenLIT 1.45, Logfire 5.2.
NEIGHBOURS = (
    *(
        Neighbour(
            "OpenTelemetry",
            it,
            f"opentelemetry-instrumentation-genai-{it}",
            f"opentelemetry.instrumentation.genai.{it}",
        )
        for it in ("openai", "anthropic")
    ),
    Neighbour(
        "OpenTelemetry", "openai", "opentelemetry-instrumentation-openai-v2", "opentelemetry.instrumentation.openai_v2"
    ),
    *(Neighbour("Logfire", it, "logfire", LOGFIRE, f"logfire.{it}") for it in ("openai", "anthropic")),
    *(
        Neighbour(vendor, it, distribution.format(it), package.format(it))
        for it in ("openai", "anthropic", "groq")
        for vendor, distribution, package in (
            ("OpenInference", "openinference-instrumentation-{}", "openinference.instrumentation.{}"),
            ("OpenLLMetry", "opentelemetry-instrumentation-{}", "opentelemetry.instrumentation.{}"),
            ("OpenLIT", "openlit", "openlit.instrumentation.{}"),
        )
    ),
)
