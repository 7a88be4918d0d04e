# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema (2020-12) of a line, as the package publishes it for readers in any language."""

from __future__ import annotations

from importlib import resources
from typing import Any

import msgspec


def load() -> dict[str, Any]:
    """The schema as a document: a new one each time, safe to change."""
    text = resources.files(__package__ or "").joinpath("schema.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, Any])
