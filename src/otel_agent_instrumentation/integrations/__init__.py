# SPDX-License-Identifier: Apache-2.0
"""One file a library: a table of seams and pure readers of its requests, answers and chunks."""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING

# OTel's cache, which the launcher has filled: the standard library would read every package's files again.
from opentelemetry.util._importlib_metadata import entry_points  # pyright: ignore[reportUnknownVariableType]

from ..core import contain
from ..core.contain import Contained

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.patching import Integration

BUILTIN = {
    "openai": "openai",
    "anthropic": "anthropic",
    "groq": "groq",
    "mcp": "mcp",
    # tool runners
    "langchain": "langchain_core",
    "openai_agents": "agents",
}
"""Integration modules of this package, by their name in `OTEL_AGENT_DISABLED` and `instrument(only=...)`, and the
client's top-level module: ours is imported when that is, so that a process without the client pays nothing for it."""

STANDARD = ("threads", "processes", "logging", "commands", "files")
"""What of the standard library is patched, by its name in `OTEL_AGENT_DISABLED`."""


def load(name: str) -> Integration | None:
    """The integration called ``name``. Imports our module, never the library. None on a fault of ours."""
    with Contained(f"integrations.{name}"):
        integration: Integration = importlib.import_module(f"{__name__}.{name}").INTEGRATION
        return integration
    return None


def contributed() -> dict[str, Callable[[], Integration | None]]:
    """Other packages' integrations, by the module that each waits for: entry points of `otel_agent_integration`.

    Nothing of such a package is imported before its client is. Ours win over theirs of the same name.
    """
    found: dict[str, Callable[[], Integration | None]] = {}
    with Contained("integrations.contributed"):
        for point in entry_points(group="otel_agent_integration"):
            if point.name not in BUILTIN:
                found[point.name] = partial(contain.call, f"integrations.{point.name}", point.load)
    return found
