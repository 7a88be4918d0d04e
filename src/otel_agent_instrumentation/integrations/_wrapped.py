# SPDX-License-Identifier: Apache-2.0
"""Finding another package's wrappers on a client's modules, classes and instances, and putting the originals back."""

from __future__ import annotations

import gc
import sys
from itertools import chain
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import wrapt

from ._neighbour_table import within

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOGFIRE_MARK, _LOGFIRE_ORIGINAL = "_is_instrumented_by_logfire", "_original_request_method"
_DEEPEST = 20
# The second is what reading the first off a class gives.
_WRAPPERS = (wrapt.FunctionWrapper, wrapt.BoundFunctionWrapper)


class Place(NamedTuple):
    """Where a wrapper is: an attribute of a module, class or instance. ``buried``: something else lies over it."""

    owner: Any
    name: str
    buried: bool


def places(client: str, package: str) -> Iterator[Place]:
    """Every place in the modules of ``client`` that holds a wrapper defined in ``package``, however deep."""
    if package not in sys.modules:  # as a parent is, before any module below it
        return
    owners = _owners(client)
    if within(package, "logfire"):
        owners = chain(owners, _marked_instances(client))
    for owner in owners:
        for name, value in list(owner.__dict__.items()):
            depth = _depth(value, package)
            if depth is not None:
                yield Place(owner, name, depth > 0)


def put_back(place: Place, package: str) -> None:
    """Put the original back: the very object, and nothing where the class or instance only inherits it."""
    owner, name = place.owner, place.name
    value = there = owner.__dict__.get(name)
    while _depth(value, package) == 0:
        value = value.__wrapped__
    if there is None:
        pass
    elif isinstance(owner, ModuleType):
        setattr(owner, name, value)
    elif not isinstance(owner, type) or _inherited(owner, name) is value:
        delattr(owner, name)
    elif value is not there:
        setattr(owner, name, value)
    if owner.__dict__.get(_LOGFIRE_MARK):
        setattr(owner, _LOGFIRE_MARK, False)
        # What leaving `with logfire.instrument_openai():` will put back: not past whoever is there by then.
        setattr(owner, _LOGFIRE_ORIGINAL, _late(owner, name))


def _late(owner: Any, name: str) -> Any:
    def of_instance(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(cast("Any", type(self)), name)(self, *args, **kwargs)

    def of_class(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(cast("Any", super(owner, self)), name)(*args, **kwargs)

    return of_class if isinstance(owner, type) else MethodType(of_instance, owner)


def _inherited(cls: type, name: str) -> Any:
    return next((base.__dict__[name] for base in cls.__mro__[1:] if name in base.__dict__), None)


def _owners(client: str) -> Iterator[Any]:
    seen: set[Any] = set()
    for module_name, module in list(sys.modules.items()):
        # The types are thousands of data classes without behaviour.
        if not within(module_name, client) or within(module_name, f"{client}.types"):
            continue
        yield module
        for value in list(module.__dict__.values()):
            # `type`, never `isinstance`: the clients have lazy proxies, whose `__class__` makes the thing itself.
            if issubclass(type(value), type) and within(value.__module__, client) and value not in seen:
                seen.add(value)
                yield value


def _marked_instances(client: str) -> Iterator[Any]:
    """Clients that were instrumented one by one: Logfire's way, which leaves no trace but on the object itself."""
    clients: dict[type, bool] = {}
    for item in gc.get_objects():
        cls = cast("type[Any]", type(item))
        if cls not in clients:
            clients[cls] = any(within(str(base.__module__), client) for base in cls.__mro__) and "__dict__" in dir(cls)
        if clients[cls] and item.__dict__.get(_LOGFIRE_MARK):
            yield item


def _depth(value: Any, package: str) -> int | None:
    """How many other wrappers lie over the outermost one of ``package`` in ``value``; None if it has none."""
    for depth in range(_DEEPEST):
        cls = cast("type[Any]", type(value))
        if issubclass(cls, _WRAPPERS):
            wrapper = value._self_wrapper  # noqa: SLF001 - wrapt's documented prefix for a wrapper's own attributes
            home = wrapper.__module__ if type(wrapper) is FunctionType else type(wrapper).__module__
        elif cls is FunctionType and "__wrapped__" in value.__dict__:
            home = value.__globals__.get("__name__", "")
        else:
            return None
        if within(str(home), package):
            return depth
        value = value.__wrapped__
    return None
