# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks.outage``: the collector is killed for 30 s during 2,000 calls; where every span went.

The real collector (`make e2e-tools` builds it) with the shipped gateway configuration.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in ("tests/tools", "scripts")]

from stack_outage import outage  # noqa: E402 - found there


def main() -> None:
    """Run it and print the books."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--calls", type=int, default=2000)
    options.add_argument("--pace", type=float, default=0.03, help="seconds from call to call")
    options.add_argument("--before", type=float, default=15, help="seconds until the kill")
    options.add_argument("--down", type=float, default=30, help="seconds until it is started again")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="outage-") as folder:
        print(outage(Path(folder), calls=given.calls, pace=given.pace, before=given.before, down=given.down))


if __name__ == "__main__":
    main()
