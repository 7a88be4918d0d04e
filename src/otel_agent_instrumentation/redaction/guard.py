# SPDX-License-Identifier: Apache-2.0
"""The guard, as others use it: its processors, putting it into providers, and checking that it stands there."""

from __future__ import annotations

from .install import guard_new_providers, install, stop_guarding_new_providers, uninstall
from .processors import LogGuard, SpanGuard
from .selfcheck import content_allowed, self_check, unsafe_providers

__all__ = [
    "LogGuard",
    "SpanGuard",
    "content_allowed",
    "guard_new_providers",
    "install",
    "self_check",
    "stop_guarding_new_providers",
    "uninstall",
    "unsafe_providers",
]
