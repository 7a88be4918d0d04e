# SPDX-License-Identifier: Apache-2.0
"""An agent that logs, within a run and outside, and configures `logging` as its first argument says."""

from __future__ import annotations

import logging
import sys

import otel_agent_instrumentation as agent


def main(configured: str) -> None:
    """Log a few records."""
    if configured == "configured":
        logging.basicConfig(format="%(levelname)s %(message)s")
    log = logging.getLogger("agent.work")
    log.warning("before the run")
    with agent.run("coder", user="u-1"), agent.cycle():
        log.warning("in cycle %d", 1)
        log.info("not enabled")
        quiet = logging.getLogger("quiet")
        quiet.propagate = False
        quiet.addHandler(logging.NullHandler())
        quiet.warning("not for the root logger")
        logging.getLogger("opentelemetry.sdk").warning("about the export itself")
        try:
            int("broken")
        except ValueError:
            log.exception("failed")
    sys.stdout.write(f"{logging.getLogger().handlers}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
