# SPDX-License-Identifier: Apache-2.0
"""Other vendors' instrumentors of the clients that we instrument: exactly one of us owns a call and its tokens.

Ours does, because theirs were measured to be wrong (`../shared/reference/peers.md` 3): streams left open, bodies read
early, tokens counted twice beside a client's own span. One that comes after us is not activated; one that was there
first is taken off the client again; where something lies over it, the calls that it tells are left to it.
`OTEL_AGENT_DISABLED=<client>` chooses theirs. Frameworks above a client are no neighbours.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from opentelemetry.trace import get_current_span

from ..core import contain
from ..core.patching import Integration, Seam, apply, revert
from ._neighbour_table import LOGFIRE, NEIGHBOURS, Neighbour, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.context import Context

    from ..core.spec import Call

State = Literal["installed", "not activated", "taken off", "active"]


class Standing(NamedTuple):
    """How a neighbour stands, for doctor."""

    neighbour: Neighbour
    version: str
    state: State
    owner: str
    """Whose spans and tokens the client's calls are."""


@dataclass(slots=True, eq=False, repr=False)
class _Books:
    owned: frozenset[str] = frozenset()
    launching: bool = False
    """Between the launcher's pre- and post-instrument hooks: whoever is held waits, warnings are gathered."""
    came: bool = False
    """Our own `instrument()` has been called."""
    states: dict[Neighbour, State] = field(default_factory=dict["Neighbour", "State"])
    held: list[tuple[Neighbour, Callable[[], Any]]] = field(default_factory=list["tuple[Neighbour, Callable[[], Any]]"])
    untold: list[Neighbour] = field(default_factory=list["Neighbour"])
    judging: bool = False
    """Whether the engine asks us of each call."""


_books = _Books()
_SITE = contain.Contained("neighbours")


def watch(clients: Iterable[str]) -> None:
    """Before any instrumentor of the launcher runs: hold those of ``clients`` back until `take_over` or `settle`."""
    with _SITE:
        _books.owned, _books.launching = frozenset(clients), True
        apply(_WATCH)


def take_over(clients: Iterable[str]) -> None:
    """Own the calls of ``clients`` from now on: take their neighbours off, let the others go their way."""
    with _SITE:
        _books.owned, _books.came = frozenset(clients), True
        _release()
        apply(_WATCH)
        for neighbour in NEIGHBOURS:
            if neighbour.client in _books.owned:
                contain.call("neighbours.stand_down", _stand_down, neighbour)
        if any(state in {"taken off", "active"} for state in _books.states.values()):
            _judge(_is_theirs)
        _tell()


def settle() -> None:
    """After all instrumentors of the launcher: where ours was not among them, those held back are activated."""
    with _SITE:
        _books.launching = False
        if not _books.came:
            let_go()
        _tell()


def let_go() -> None:
    """Own nothing any more: whoever instruments a client from now on does so undisturbed."""
    with _SITE:
        _books.owned, _books.came = frozenset(), False
        revert(_WATCH.name)
        _release()
        if _books.judging:
            _judge(None)
        _books.states.clear()
        _books.untold.clear()


def _judge(decide: Callable[[Call, Context], bool] | None) -> None:
    from ..core.engine import engine  # a process without a call imports none

    engine.stand_down, _books.judging = decide, decide is not None


def report() -> list[Standing]:
    """Every neighbour that is installed, how it stands and who owns the client's calls."""
    from importlib import metadata

    found: list[Standing] = []
    for neighbour in NEIGHBOURS:
        try:
            version = metadata.version(neighbour.distribution)
        except metadata.PackageNotFoundError:
            continue
        state = _books.states.get(neighbour, "installed")
        ours = neighbour.client in _books.owned and state != "active"
        found.append(Standing(neighbour, version, state, "otel-agent" if ours else neighbour.vendor))
    return found


def _hold(neighbour: Neighbour | None, activate: Callable[[], Any]) -> bool:
    if neighbour is None or neighbour.client not in _books.owned:
        return False
    if not _books.came:
        _books.held.append((neighbour, activate))
    _books.states.setdefault(neighbour, "not activated")
    _books.untold.append(neighbour)
    _tell()
    return True


def _release() -> None:
    """Activate those held back whose client is not ours after all."""
    held, _books.held = _books.held, []
    for neighbour, activate in held:
        if neighbour.client not in _books.owned:
            _books.states.pop(neighbour, None)
            _books.untold = [other for other in _books.untold if other != neighbour]
            contain.call("neighbours.activate", activate)


def _on_instrument(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    home = type(instance).__module__
    neighbour = next((it for it in NEIGHBOURS if within(home, it.package) and it.vendor != "Logfire"), None)
    if contain.call("neighbours.hold", _hold, neighbour, partial(wrapped, *args, **kwargs), default=False):
        return None
    return wrapped(*args, **kwargs)


def _on_logfire(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - wrapt's signature
    client = str(kwargs.get("scope_suffix") or (args[3] if len(args) > 3 else "")).lower()  # noqa: PLR2004
    neighbour = next((it for it in NEIGHBOURS if it.vendor == "Logfire" and it.client == client), None)
    if contain.call("neighbours.hold", _hold, neighbour, partial(wrapped, *args, **kwargs), default=False):
        return nullcontext()  # what it returns undoes the instrumentation when entered and left
    return wrapped(*args, **kwargs)


_WATCH = Integration(
    name="neighbours",
    distribution="",
    seams=(
        Seam(
            "opentelemetry.instrumentation.instrumentor",
            "BaseInstrumentor.instrument",
            _on_instrument,
            "standing down of other vendors' instrumentors",
        ),
        # Imported by `logfire.instrument_openai()` and `instrument_anthropic()` as they are called.
        Seam(
            f"{LOGFIRE}.llm_provider", "instrument_llm_provider", _on_logfire, "standing down of Logfire", optional=True
        ),
    ),
)


def _stand_down(neighbour: Neighbour) -> None:
    if neighbour.package not in sys.modules:  # as a parent is, before any module below it
        return
    from ._wrapped import places, put_back

    active = [it for it in _instrumentors(BaseInstrumentor, neighbour.package) if it.is_instrumented_by_opentelemetry]
    found = list(places(neighbour.client, neighbour.package))
    if not active and not found:
        return
    _books.untold.append(neighbour)
    _books.states[neighbour] = "active"
    if any(place.buried for place in found):
        return  # by another library, which would be taken off with it
    for instrumentor in active:
        if instrumentor.is_instrumented_by_opentelemetry:  # OpenLLMetry's outer one ends its inner one
            contain.call("neighbours.uninstrument", instrumentor.uninstrument)
            # After a fault of theirs too: their `instrument()` must work again.
            instrumentor._is_instrumented_by_opentelemetry = False  # noqa: SLF001
    for (
        place
    ) in found:  # OpenLLMetry's `uninstrument()` finds nothing, OpenInference's leaves the original in a subclass
        put_back(place, neighbour.package)
    if next(places(neighbour.client, neighbour.package), None) is None:
        _books.states[neighbour] = "taken off"


def _instrumentors(base: Any, package: str) -> Iterator[Any]:
    """The instrumentors of ``package`` that were made; each class has one instance."""
    for cls in base.__subclasses__():
        made: Any = cls.__dict__.get("_instance")
        if made is not None and within(cls.__module__, package):
            yield made
        yield from _instrumentors(cls, package)


def _is_theirs(call: Call, context: Context) -> bool:
    """Whether the call runs inside a span of a neighbour: a wrapper that could not be taken off, or that was cached."""
    span = get_current_span(context)
    scope: str = getattr(getattr(span, "instrumentation_scope", None), "name", "")
    return (
        bool(scope)
        and span.is_recording()
        and any(
            neighbour.client == call.library and within(scope, neighbour.scope or neighbour.package)
            for neighbour in _books.states
        )
    )


def _tell() -> None:
    if _books.launching or not _books.untold:
        return
    untold, _books.untold = dict.fromkeys(_books.untold), []
    for shared in (False, True):
        some = [it for it in untold if (_books.states.get(it) == "active") is shared]
        if some:
            clients = list(dict.fromkeys(it.client for it in some))
            names = ", ".join(dict.fromkeys(f"{it.distribution} of {it.vendor}" for it in some))
            contain.warn_once(
                f"neighbours:{clients}:{names}",
                _SHARED if shared else _OWNED,
                " and ".join(clients),
                names,
                ",".join(clients),
            )


_OWNED = (
    "otel-agent: another instrumentor of %s is here (%s). It stands down: the spans and tokens of these calls are "
    "otel-agent's, once each. To have the other one instead, set OTEL_AGENT_DISABLED=%s. See `otel-agent doctor`."
)
_SHARED = (
    "otel-agent: another instrumentor of %s is here (%s) and cannot be taken off. A call that runs inside its span is "
    "its own, every other one is otel-agent's. To leave all to it, set OTEL_AGENT_DISABLED=%s. See `otel-agent doctor`."
)
