# SPDX-License-Identifier: Apache-2.0
"""An event bus: an agent says what it does by name, and whoever listens hears it at once, on the agent's own thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ..core.contain import Contained

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Handler = Callable[[Mapping[str, Any]], object]

ANY = "*"
_HANDLER = Contained("bus.handler")


class Bus(Protocol):
    """What the monitor can listen to: this package's `EventBus`, or an agent's own."""

    def on(self, name: str, handler: Handler, /) -> Any:
        """Call ``handler`` with the payload of each event called ``name``."""
        ...


class Ear:
    """Handlers on a bus, until they are taken off: also from one that cannot forget a handler."""

    def __init__(self, bus: Bus, handlers: Mapping[str, Handler]) -> None:
        self.bus = bus
        self._open = True
        self._handlers = {name: self._while_open(handler) for name, handler in handlers.items()}
        for name, handler in self._handlers.items():
            bus.on(name, handler)

    def close(self) -> None:
        """Hear no more."""
        self._open = False
        off = getattr(self.bus, "off", None)
        if off is not None:
            for name, handler in self._handlers.items():
                off(name, handler)

    def _while_open(self, handler: Handler) -> Handler:
        return lambda told: handler(told) if self._open else None


class EventBus:
    """Hands events to handlers. Safe between threads; a handler that fails costs itself this event, and nobody else."""

    def __init__(self) -> None:
        # Replaced whole: emitting takes no lock. To add to them is rare.
        self._handlers: dict[str, tuple[Handler, ...]] = {}

    def on(self, name: str, handler: Handler) -> None:
        """Call ``handler(payload)`` for each event ``name``. The same handler twice is once.

        With the name `*`, for every event, as ``handler({"event": name, "payload": payload})``.
        """
        known = self._handlers.get(name, ())
        if handler not in known:
            self._handlers = {**self._handlers, name: (*known, handler)}

    def off(self, name: str, handler: Handler) -> None:
        """Call it no more."""
        kept = tuple(one for one in self._handlers.get(name, ()) if one != handler)
        self._handlers = {**self._handlers, name: kept}

    def emit(self, name: str, payload: Mapping[str, Any] | None = None) -> None:
        """Say that ``name`` happened. Never raises."""
        handlers = self._handlers
        told: Mapping[str, Any] = {} if payload is None else payload
        for handler in handlers.get(name, ()):
            with _HANDLER:
                handler(told)
        for handler in handlers.get(ANY, ()):
            with _HANDLER:
                handler({"event": name, "payload": told})
