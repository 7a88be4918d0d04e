# SPDX-License-Identifier: Apache-2.0
"""Child processes: a Python process that a run starts, and work that it sends to one, belong to the run.

`subprocess`: two variables in the environment of a child that inherits ours (`env=None`); what a caller passes as
`env` is never changed, and `os.environ` neither: it is shared by all runs of the process. `multiprocessing`: carried
with the process object, whatever its start method. Pools: carried per piece of work, never per worker, as one worker
serves many runs.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from .. import config
from ..core import handover
from ..core.contain import Contained
from ..core.handover import Handed
from ..core.patching import Integration, Seam

_HAND = Contained("processes.hand")
_POOLS = frozenset({"concurrent.futures.process", "multiprocessing.pool"})
_TOLD = "_otel_agent_run"
# Where the environment stands among the arguments: 3.10 to 3.14.
_ENV = 6  # of `_execute_child`, the same on POSIX and Windows
_ENV_LIST = 5  # of `_fork_exec`
_ENV_SPAWNED = 2  # of `_posix_spawn`


def _handing(at: int, environment: Any) -> Any:
    """A wrapper that puts what ``environment`` makes at the place ``at`` of the arguments, where nothing stands."""

    def start(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - wrapt's signature
        given = args
        with _HAND:
            if len(args) > at and args[at] is None:
                told = handover.here()
                if told is not None:
                    given = (*args[:at], environment(*told), *args[at + 1 :])
        return wrapped(*given, **kwargs)

    return start


def _submit(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - wrapt's signature
    given = args
    with _HAND:
        told = handover.here()
        if told is not None and args:
            given = (Handed(args[0], told), *args[1:])
    return wrapped(*given, **kwargs)


def _start(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with _HAND:
        told = handover.here() if not _serves_a_pool(instance) else None
        if told is not None:
            setattr(instance, _TOLD, told)
    try:
        return wrapped(*args, **kwargs)
    finally:
        with _HAND:
            if hasattr(instance, _TOLD):
                delattr(instance, _TOLD)


def _bootstrap(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with _HAND:  # in the child, which a fork gave the parent's place, and a worker of a pool has none
        told: Any = getattr(instance, _TOLD, None)
        if told is not None or _serves_a_pool(instance):
            handover.settle(told)
    return wrapped(*args, **kwargs)


def _serves_a_pool(process: Any) -> bool:
    return getattr(getattr(process, "_target", None), "__module__", "") in _POOLS


def _subprocess() -> tuple[Seam, ...]:
    """Where a child is given its environment.

    The standard library's `_execute_child` takes ten times as long to encode an environment as it takes to inherit
    one: it is handed over beneath, encoded. Python 3.10, Windows and others' `Popen` (gevent's) have no such place.
    """
    role = "runs in subprocesses"
    there: Any = sys.modules.get("subprocess")
    own = there is None or (there.Popen.__module__ == "subprocess" and hasattr(there, "_fork_exec"))
    if os.name == "posix" and sys.version_info >= (3, 11) and own:
        return (
            Seam("subprocess", "_fork_exec", _handing(_ENV_LIST, config.child_variables), role),
            Seam("subprocess", "Popen._posix_spawn", _handing(_ENV_SPAWNED, config.child_environment), role),
        )
    return (Seam("subprocess", "Popen._execute_child", _handing(_ENV, config.child_environment), role),)


INTEGRATION = Integration(
    name="processes",
    distribution="",
    seams=(
        *_subprocess(),
        Seam("multiprocessing.process", "BaseProcess.start", _start, "runs in processes"),
        Seam("multiprocessing.process", "BaseProcess._bootstrap", _bootstrap, "runs in processes"),
        Seam("concurrent.futures.process", "ProcessPoolExecutor.submit", _submit, "runs in process pools"),
        Seam("multiprocessing.pool", "Pool.apply_async", _submit, "runs in process pools"),
        Seam("multiprocessing.pool", "Pool._map_async", _submit, "runs in process pools"),
        Seam("multiprocessing.pool", "Pool.imap", _submit, "runs in process pools"),
        Seam("multiprocessing.pool", "Pool.imap_unordered", _submit, "runs in process pools"),
    ),
)
