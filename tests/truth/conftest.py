# SPDX-License-Identifier: Apache-2.0
"""What a client refused to send is shown at the end: no failure of ours, and no silence either."""

from __future__ import annotations

import pytest

_refusals = pytest.StashKey[list[str]]()


@pytest.fixture
def refusals(request: pytest.FixtureRequest) -> list[str]:
    """Refused exchanges and why, for the summary."""
    return request.config.stash.setdefault(_refusals, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(_refusals, [])
    for line in found:
        terminalreporter.write_line(f"refused by the client: {line}")
