# SPDX-License-Identifier: Apache-2.0
"""One file a library: a table of seams and pure readers of its requests, answers and chunks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ..core.contain import Contained

if TYPE_CHECKING:
    from ..core.patching import Integration

BUILTIN = {"openai": "openai", "anthropic": "anthropic", "groq": "groq"}
"""Integration modules of this package, by their name in `OTEL_AGENT_DISABLED` and `instrument(only=...)`, and the
client's top-level module: ours is imported when that is, so that a process without the client pays nothing for it."""


def load(name: str) -> Integration | None:
    """The integration called ``name``. Imports our module, never the library. None on a fault of ours."""
    with Contained(f"integrations.{name}"):
        integration: Integration = importlib.import_module(f"{__name__}.{name}").INTEGRATION
        return integration
    return None
