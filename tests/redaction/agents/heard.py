# SPDX-License-Identifier: Apache-2.0
"""A route's function: writes each event that it is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def tell(event: dict[str, Any]) -> None:
    """Append ``event`` to a file."""
    with Path("heard.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")
