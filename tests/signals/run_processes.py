# SPDX-License-Identifier: Apache-2.0
"""An agent whose runs reach into other processes, in the way that its first argument names. Run by test_processes."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import otel_agent_instrumentation as agent

CHILD = "import otel_agent_instrumentation as agent\nwith agent.step(tool='in child'): pass"


def step(name: str) -> int:
    """Work for another process: a step named after who sent it."""
    with agent.step(tool=name):
        return os.getpid()


def by_subprocess() -> None:
    """Children that inherit the environment."""
    subprocess.run([sys.executable, "-c", CHILD], check=True)

    async def main() -> None:
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD)
        assert await child.wait() == 0

    asyncio.run(main())


def by_process(method: str) -> None:
    """A process object."""
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=step, args=("in child",))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert not [name for name in vars(process) if "otel" in name]


def by_pools(method: str) -> None:
    """Pools that serve one run after another, and nobody."""
    context: Any = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor, context.Pool(1) as pool:
        with agent.run("first"), agent.cycle():
            executor.submit(step, "first").result()
            pool.map(step, ["first"])
        with agent.run("second"):
            list(executor.map(step, ["second"]))
            pool.apply(step, ("second",))
            list(pool.imap(step, ["second"]))
        assert executor.submit(step, "none").result() == executor.submit(step, "none").result()


def by_fork() -> None:
    """A bare fork, with a block of the parent's open in both."""
    with agent.step(tool="both"):
        child = os.fork()
        if child == 0:
            with agent.step(tool="in child"), agent.run("inner"):
                pass
    if child == 0:
        agent.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def main(way: str, *given: str) -> None:
    """One run, and the way in it."""
    if way == "by_pools":
        by_pools(*given)
        return
    with agent.run("parent", task="t", user="u-1", tags=["a"], metadata={"team": "x"}), agent.cycle(), agent.cycle():
        globals()[way](*given)


if __name__ == "__main__":
    main(*sys.argv[1:])
