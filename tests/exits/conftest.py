# SPDX-License-Identifier: Apache-2.0
"""One provider for the folder, and a garbage collector that looks only at what a test made."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_agent_instrumentation.testing.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

# The folder's own helpers: import-mode importlib, which the suite runs in, finds no neighbour of a test file.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    with Provider() as served:
        yield served


@pytest.fixture(scope="module", autouse=True)
def whole_heap_at_last() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def small_heap(whole_heap_at_last) -> None:
    """Take what is there out of the collector's sight: a collection is 1 ms then, and there are a thousand."""
    gc.freeze()
