# SPDX-License-Identifier: Apache-2.0
"""The module of the `opentelemetry_environment_variables` group.

`opentelemetry-instrument` imports it in the parent process: every `OTEL_AGENT_*` name below becomes a flag of the
launcher, and what it sets is inherited by the agent. Which of several installed distros wins is else a matter of the
order of a directory; both variables are needed, as the launcher picks distro and configurator independently.
"""

from __future__ import annotations

import os

from .config import OPTIONS, is_root

DISTRO = "agent"

globals().update({name: name for option in OPTIONS for name in option.env if name.startswith("OTEL_AGENT_")})


def choose_distro() -> None:
    """Make this package's distro and configurator the ones that are loaded, unless somebody chose."""
    if os.environ.get("OTEL_PYTHON_DISTRO", DISTRO) == DISTRO:
        os.environ.setdefault("OTEL_PYTHON_DISTRO", DISTRO)
        os.environ.setdefault("OTEL_PYTHON_CONFIGURATOR", DISTRO)


choose_distro()
is_root()  # marks this process, which `exec` keeps, as the one that the person started
