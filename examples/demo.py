# SPDX-License-Identifier: Apache-2.0
"""Runs the coding agent under `opentelemetry-instrument`, and shows the tree of its run.

It is `planned_agent.py`, which also says what its plan, steps and reviews are; with the argument `unchanged` it is
`coding_agent.py`, which knows nothing of telemetry.

Without `OPENAI_API_KEY` and `OPENAI_BASE_URL` the models are a script on loopback. No variable of OpenTelemetry's is
set: the ledger file below `logs/telemetry` is what an agent leaves by default.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import demo_provider

if TYPE_CHECKING:
    from collections.abc import Generator

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
LEDGER = Path(os.environ.get("OTEL_AGENT_LEDGER_DIR") or "logs/telemetry")


@contextmanager
def environment() -> Generator[dict[str, str]]:
    """The agent's environment: the caller's, with the scripted models in it unless the caller has real ones."""
    if os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"):
        print(f"demo: the models are those of {os.environ.get('OPENAI_BASE_URL') or 'api.openai.com'}\n", flush=True)
        # Local servers take any key, but the client wants one.
        yield {"OPENAI_API_KEY": "none", **os.environ}
        return
    with demo_provider.provider() as provider:
        print(f"demo: the models are scripted, at {provider.url}\n", flush=True)
        yield {
            **os.environ,
            "OPENAI_BASE_URL": f"{provider.url}/v1",
            "OPENAI_API_KEY": "demo",
            "ANTHROPIC_BASE_URL": provider.url,
            "ANTHROPIC_API_KEY": "demo",
            "NO_PROXY": "127.0.0.1",
        }


def main() -> int:
    """Run the agent, then show what its ledger tells; 0 only if both went well."""
    name = "coding_agent.py" if sys.argv[1:] == ["unchanged"] else "planned_agent.py"
    before = set(LEDGER.glob("*.jsonl"))
    launcher = [str(BIN / "opentelemetry-instrument"), sys.executable]
    with environment() as variables:
        if os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true":  # which MCP would not hand on
            # The server is launched like the agent, so that its side of each call is seen as well.
            variables["STYLE_SERVER"] = shlex.join([*launcher, str(HERE / "style_server.py")])
        failed = subprocess.run([*launcher, str(HERE / name)], check=False, env=variables).returncode
    written = sorted(set(LEDGER.glob("*.jsonl")) - before)
    if not written:
        print(f"demo: the agent left no ledger file in {LEDGER}", file=sys.stderr)
        return 1
    # A run has a file for each of its processes; all of them make its tree.
    for file in [file for file in written if "." not in file.stem]:
        print(flush=True)
        failed = subprocess.run([str(BIN / "otel-agent"), "show", str(file)], check=False).returncode or failed
    for file in written:
        print(f"{chr(10) * (file is written[0])}ledger  {file}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
