# SPDX-License-Identifier: Apache-2.0
"""One provider and one client of each kind for a file; nothing of a test is left queued."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from clients import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def module_scene() -> Iterator[Scene]:
    with Scene() as scene:
        yield scene


@pytest.fixture
def scene(module_scene: Scene) -> Scene:
    module_scene.provider.clear()
    module_scene.provider.reply = None
    return module_scene


@pytest.fixture(autouse=True)
def responses_or_skip(request: pytest.FixtureRequest) -> None:
    """Skip what asks for the Responses API where the client has none yet."""
    asks = request.node.get_closest_marker("responses") or "responses" in request.node.name.partition("[")[2]
    if asks and find_spec("openai.resources.responses") is None:
        pytest.skip("needs: package openai>=1.66")
