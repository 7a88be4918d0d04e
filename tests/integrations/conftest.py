# SPDX-License-Identifier: Apache-2.0
"""One provider and one client of each kind for a file; nothing of a test is left queued."""

from __future__ import annotations

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
