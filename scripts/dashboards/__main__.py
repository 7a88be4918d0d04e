# SPDX-License-Identifier: Apache-2.0
"""``python -m dashboards`` (from `scripts/`) writes the dashboards; ``--check`` says whether they are up to date."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from . import llm, overview, pipeline, safety, tools

FOLDER = Path(__file__).resolve().parents[2] / "collector-config" / "grafana" / "dashboards"
ALL = (overview.DASHBOARD, llm.DASHBOARD, tools.DASHBOARD, safety.DASHBOARD, pipeline.DASHBOARD)


def main(arguments: list[str]) -> int:
    """Write what differs, or only say so."""
    wanted = {FOLDER / f"{board.uid}.json": json.dumps(board.as_json(), indent=1) + "\n" for board in ALL}
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    old = [path for path in FOLDER.glob("*.json") if path not in wanted]
    for path in [*stale, *old]:
        print(f"{path.name} {'differs' if '--check' in arguments else 'written' if path in wanted else 'removed'}")
    if "--check" in arguments:
        return int(bool(stale or old))
    for path in stale:
        path.write_text(wanted[path])
    for path in old:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
