# SPDX-License-Identifier: Apache-2.0
"""The ledger's lines on other ways than its files: a lane for each, flushed and ended with the others (E5, L8)."""

from __future__ import annotations

import importlib.util
import time
from functools import partial
from typing import TYPE_CHECKING

from ..pipeline.batch import Lane
from ..pipeline.exit import Job
from ..pipeline.queue import Limits
from ..pipeline.tcp import TcpTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import Settings
    from ..envelope.line import Line
    from ..ledger.routing import Route
    from ..ledger.writer import Writer
    from ..pipeline.exit import ExitCoordinator
    from ..pipeline.outcome import Target

_SIGNAL = "ledger lines"
_DELAY = 0.2
_MOST_LINES = 65_536
_EXTRAS = {"zmq": ("zmq", "zmq"), "websocket": ("websockets.sync", "stream")}
"""By kind of destination the module that it needs, and the extra that has it."""


def warnings(settings: Settings) -> tuple[str, ...]:
    """What is wrong with the routes of the file, one sentence each."""
    from ..ledger import routing

    found = routing.read(settings.routes)
    return (*found.warnings, *(missing for route in found.routes if (missing := _missing(route))))


def open_lanes(settings: Settings, coordinator: ExitCoordinator | None, writer: Writer) -> list[Lane[bytes]]:
    """Have ``writer`` hand its lines to a lane for each way. A lane's worker connects with the first line."""
    lanes: list[Lane[bytes]] = []
    limits = Limits(_DELAY, _MOST_LINES, max_bytes=settings.queue_bytes, attempt=settings.timeout)
    if settings.ledger_tcp is not None:
        lanes.append(Lane(_SIGNAL, TcpTarget(*settings.ledger_tcp), limits))
        writer.sinks.append(_all_to(lanes[-1]))
    if settings.routes:
        from ..ledger import filters, routing

        for route in routing.read(settings.routes).routes:
            if not _missing(route):
                lanes.append(Lane(_SIGNAL, _target(route), _limits(route, limits)))
                writer.sinks.append(_some_to(lanes[-1], filters.compiled(route.wanted)))
    if coordinator is not None:
        for lane in lanes:
            # Ended at the very end alone: the lines about the process's end are to leave, too.
            coordinator.register_call(lane.queue.accounts.exporter, lane.flush, flush=lane.flush)
    return lanes


def _limits(route: Route, limits: Limits) -> Limits:
    own = limits._replace(max_bytes=min(route.queue_bytes, limits.max_bytes))
    # A function is given one event at a time: what it has not begun is not lost with it.
    return own._replace(batch_items=1) if route.kind == "call" else own


def flush(lanes: list[Lane[bytes]], timeout: float) -> None:
    """Have what waits delivered, on all ways at once, within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    for job in [Job("flush", partial(lane.flush, timeout)) for lane in lanes]:
        job.wait(deadline)


def shutdown(lanes: list[Lane[bytes]], timeout: float) -> None:
    """The same, and close them."""
    deadline = time.monotonic() + timeout
    for lane in lanes:
        lane.begin_exit(deadline)
    for lane in lanes:
        lane.finish_exit(deadline)


def _all_to(lane: Lane[bytes]) -> Callable[[Line, bytes], None]:
    return lambda _, data: lane.put(data, len(data))


def _some_to(lane: Lane[bytes], wants: Callable[[Line], bool]) -> Callable[[Line, bytes], None]:
    def sink(line: Line, data: bytes) -> None:
        if wants(line):
            lane.put(data, len(data))

    return sink


def _missing(route: Route) -> str:
    module, extra = _EXTRAS.get(route.kind, ("", ""))
    if not module or importlib.util.find_spec(module) is not None:
        return ""
    return f"the route `{route.name}` is left out: it needs the extra, `otel-agent-instrumentation[{extra}]`"


def _target(route: Route) -> Target[bytes]:
    name = f"route {route.name}"
    if route.kind == "tcp":
        host, _, port = route.to.rpartition(":")
        return TcpTarget(host.strip("[]"), int(port), name)
    from ..pipeline import ways

    if route.kind == "file":
        return ways.FileTarget(name, route.to)
    if route.kind == "zmq":
        return ways.ZmqTarget(name, route.to)
    if route.kind == "websocket":
        return ways.WebSocketTarget(name, route.to, route.token)
    return ways.CallTarget(name, route.to)
