# SPDX-License-Identifier: Apache-2.0
"""An unchanged agent that makes CALLS calls and leaves by the way that its first argument names."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import openai

CALLS = 3


def call(_: object = None) -> str:
    client = openai.OpenAI(base_url=os.environ["PROVIDER"] + "/v1", api_key="none")
    return client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "hi"}]).id


def in_child(method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=call)
    child.start()
    child.join()


def leave(way: str) -> None:
    if way == "exit":
        sys.exit(3)
    elif way == "raise":
        raise ValueError(way)
    elif way in {"SIGINT", "SIGTERM"}:
        os.kill(os.getpid(), getattr(signal, way))
        time.sleep(20)
    elif way == "own-handler":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)
    elif way in {"fork", "spawn", "forkserver"}:
        in_child(way)
    elif way == "pool":
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
            list(pool.map(call, range(4)))
    elif way == "python":
        done = subprocess.run([sys.executable, "-c", "print('clean')"], capture_output=True, text=True, check=True)
        print(repr((done.stdout, done.stderr)))
    elif way == "python-agent":
        subprocess.run([sys.executable, __file__, "normal"], check=True)


if __name__ == "__main__":
    for _ in range(CALLS):
        call()
    print("answered", flush=True)
    leave(sys.argv[1])
