# SPDX-License-Identifier: Apache-2.0
"""An agent that knows nothing of us: drives all recorded traffic and writes to the file named how each call went.

With `instrument` as its second argument it does in code what the launcher would have done.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from otel_agent_instrumentation.testing import traffic
from otel_agent_instrumentation.testing.drive import Player

if sys.argv[2:] == ["instrument"]:
    import otel_agent_instrumentation

    otel_agent_instrumentation.instrument()

outcomes: list[tuple[str, str, str, str | None]] = []
with Player() as player:
    for name in traffic.PROVIDERS:
        for exchange in traffic.load(name):
            outcome = player.play(exchange)
            kind = type(outcome.error).__qualname__ if outcome.error is not None else None
            outcomes.append((name, exchange.id, outcome.kind, kind))
Path(sys.argv[1]).write_text(json.dumps(outcomes))
