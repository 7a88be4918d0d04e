# SPDX-License-Identifier: Apache-2.0
"""What an agent does with commands and files, seen with and without us."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_agent_instrumentation.testing.capture import Captured, capture

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def captured() -> Iterator[Captured]:
    with capture(only=["commands", "files"]) as found:
        yield found
