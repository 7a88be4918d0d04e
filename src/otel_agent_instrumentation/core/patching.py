# SPDX-License-Identifier: Apache-2.0
"""Patching: a table of seams per library, applied when their module is imported, undone to the original object.

A seam that is missing disables itself alone, warns once and is shown by doctor. Undo puts back the very object that
was there, and removes the attribute where the class had only inherited it.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import wrapt

from .contain import Contained, warn_once

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

SeamState = Literal["waiting", "patched", "missing"]


class Seam(NamedTuple):
    """One function or method to be wrapped: where it is, and the wrapt wrapper for it."""

    module: str
    attribute: str
    wrapper: Callable[..., Any]
    role: str = "call"
    """What is lost without it, in a word or two: shown by doctor."""
    optional: bool = False
    """Some supported versions do not have it: its absence is no defect."""


class Integration(NamedTuple):
    """One library: its name in settings, its distribution, its seams."""

    name: str
    distribution: str
    seams: tuple[Seam, ...]


class Marked(wrapt.FunctionWrapper):  # type: ignore[misc]
    """Our own wrapper class, to tell our patches from another vendor's."""


@dataclass(slots=True, eq=False, repr=False)
class _Patch:
    integration: str
    seam: Seam
    state: SeamState = "waiting"
    parent: Any = None
    name: str = ""
    original: Any = None
    own: bool = False
    wrapper: Any = None


_lock = threading.RLock()
_patches: dict[tuple[str, str, str], _Patch] = {}
_hooked: set[tuple[str, str]] = set()
_awaited: dict[str, Callable[[], Integration | None]] = {}
_DEEPEST = 32
_HOOK = Contained("patching.import_hook")
_SEAM = Contained("patching.seam")


def apply(integration: Integration) -> None:
    """Patch the library's seams: at once where their module is imported, else when it will be. Twice is once."""
    with _lock:
        for seam in integration.seams:
            key = (integration.name, seam.module, seam.attribute)
            if key not in _patches:
                _patches[key] = _Patch(integration.name, seam)
    for module in dict.fromkeys(seam.module for seam in integration.seams):
        _hook(module)


def when_imported(module: str, load: Callable[[], Integration | None]) -> None:
    """Patch what ``load`` gives once ``module`` is imported: at once if it is. Forgotten by `revert`."""
    with _lock:
        _awaited[module] = load
    if sys.modules.get(module) is not None and not _importing(module):  # None: an import that somebody forbids
        _arrived(sys.modules[module])
    elif ("await", module) not in _hooked:
        _hooked.add(("await", module))
        wrapt.register_post_import_hook(_arrived, module)


def _arrived(module: ModuleType) -> None:
    with _HOOK:
        with _lock:
            load = _awaited.pop(module.__name__, None)
        integration = load() if load is not None else None
        if integration is not None:
            apply(integration)


def awaited() -> list[str]:
    """The modules that are not imported yet and will be patched when they are."""
    with _lock:
        return list(_awaited)


def _hook(module: str) -> None:
    if sys.modules.get(module) is not None and not _importing(module):  # None: an import that somebody forbids
        on_import(sys.modules[module])
    elif ("seam", module) not in _hooked:
        # wrapt cannot take a hook back: ours stays and does nothing once nothing waits for the module.
        _hooked.add(("seam", module))
        wrapt.register_post_import_hook(on_import, module)


def _importing(module: str) -> bool:
    spec = getattr(sys.modules[module], "__spec__", None)
    return bool(getattr(spec, "_initializing", False))


def on_import(module: ModuleType) -> None:
    """Patch what waits for ``module``. Never raises: it runs inside the user's import."""
    with _HOOK, _lock:
        for patch in _patches.values():
            if patch.seam.module == module.__name__ and patch.state != "patched":
                with _SEAM:  # each by itself: the others are patched all the same
                    _patch(patch, module)


def _patch(patch: _Patch, module: ModuleType) -> None:
    patch.state = "missing"
    parent: Any = module
    *path, name = patch.seam.attribute.split(".")
    for step in path:
        parent = getattr(parent, step, None)
    original = getattr(parent, name, None) if parent is not None else None
    if not callable(original):
        if not patch.seam.optional:
            warn_once(
                f"seam:{patch.seam.module}:{patch.seam.attribute}",
                "otel-agent: %s.%s is not there in the installed version of %s: %s is not recorded, all else is. "
                "Update otel-agent-instrumentation or see `otel-agent doctor`.",
                patch.seam.module,
                patch.seam.attribute,
                patch.integration,
                patch.seam.role,
            )
        return
    patch.parent, patch.name = parent, name
    if _holds_ours(parent, name):
        # Inherited from a class that we patched, imported by name from a module that we patched, or left beneath
        # another library's wrapper by an earlier `revert`.
        patch.state = "patched"
        there: Any = vars(parent).get(name)
        if _kind(there) is Marked:  # imported: undone here, too
            patch.original, patch.own, patch.wrapper = there.__wrapped__, True, there
        return
    own = name in vars(parent)
    patch.own = own
    patch.original = vars(parent)[name] if own else original
    patch.wrapper = Marked(patch.original, patch.seam.wrapper)
    setattr(parent, name, patch.wrapper)
    patch.state = "patched"


def _holds_ours(parent: Any, name: str) -> bool:
    """Whether a wrapper of ours is what stands there, or somewhere beneath it: it would tell each call twice."""
    places: tuple[object, ...] = getattr(parent, "__mro__", (parent,))
    found: object = next((place.__dict__[name] for place in places if name in place.__dict__), None)
    for _ in range(_DEEPEST):
        if found is None or _kind(found) is Marked:
            return found is not None
        found = getattr(found, "__wrapped__", None)
    return False


def _kind(thing: object) -> type[object]:
    return type(thing)  # not `isinstance`: a proxy claims to be what it wraps


def revert(name: str | None = None) -> None:
    """Undo the patches of one integration, or of all: the original objects are back."""
    with _lock:
        if name is None:
            _awaited.clear()
        for key, patch in list(_patches.items()):
            if name is not None and patch.integration != name:
                continue
            if patch.state == "patched":
                _restore(patch)
            del _patches[key]


def _restore(patch: _Patch) -> None:
    there: object = patch.parent.__dict__.get(patch.name)
    if there is None and patch.wrapper is None:
        return  # inherited: undone where it stands
    if there is not patch.wrapper:
        # Somebody patched over us: their wrapper holds ours. Ours goes quiet (the engine is off) and stays.
        warn_once(
            f"overpatched:{patch.seam.module}:{patch.seam.attribute}",
            "otel-agent: %s.%s was patched again by another library; our wrapper stays beneath it and does nothing.",
            patch.seam.module,
            patch.seam.attribute,
        )
        return
    if patch.own:
        setattr(patch.parent, patch.name, patch.original)
    else:
        delattr(patch.parent, patch.name)


def patched() -> list[str]:
    """The seams that are patched now, as ``module.attribute``."""
    with _lock:
        return [f"{p.seam.module}.{p.seam.attribute}" for p in _patches.values() if p.state == "patched"]


def states() -> list[tuple[str, Seam, SeamState]]:
    """(integration, seam, state) of every seam, for doctor."""
    with _lock:
        return [(patch.integration, patch.seam, patch.state) for patch in _patches.values()]
