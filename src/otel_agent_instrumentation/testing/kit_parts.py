# SPDX-License-Identifier: Apache-2.0
"""Parts of the integration kit that know no test: a client's public methods, results used as a caller uses them."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import warnings
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .capture import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from .provider import Received
    from .reply import Reply

# New with each request by the client's own will.
_RANDOM_HEADERS = frozenset({"idempotency-key", "x-stainless-idempotency-key"})


@dataclass(frozen=True, slots=True)
class Use:
    """How a method is called: its arguments, the provider's answer (None: by path), what is done with the result."""

    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    reply: Reply | None = None
    then: Callable[[Any], Any] | None = None


def methods(client: Any, package: str, prefix: str = "") -> dict[str, Callable[..., Any]]:
    """Every public method of a client's resources, by its path: ``chat.completions.create``.

    A resource is an attribute whose class is defined below ``package``; `with_raw_response` and its kin are views.
    """
    found: dict[str, Callable[..., Any]] = {}
    for name in dir(client):
        if name.startswith(("_", "with_")):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a client's own words on what is deprecated
            value = getattr(client, name)
        if type(value).__module__.partition(package)[1:2] == (package,):
            found.update(methods(value, package, f"{prefix}{name}."))
        elif prefix and callable(value):
            found[prefix + name] = value
    return found


def at(client: Any, path: str) -> Callable[..., Any] | None:
    """The method at ``path`` of a client, views such as `with_raw_response` included; None where it has none."""
    for name in path.split("."):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client = getattr(client, name, None)
    return client


def used(result: Any) -> Any:
    """What a caller gets out of a result: a manager entered, a stream read to its end."""
    if _has(result, "__enter__"):
        with result as entered:
            return list(entered) if _has(entered, "__iter__") else entered.read()
    return list(result) if _has(result, "__next__") else result


async def used_later(result: Any) -> Any:
    """The same for a result of an async client."""
    if inspect.isawaitable(result):
        result = await result
    if _has(result, "__aenter__"):
        async with result as entered:
            return [item async for item in entered] if _has(entered, "__aiter__") else await entered.read()
    return [item async for item in result] if _has(result, "__anext__") else result


def _has(value: object, method: str) -> bool:
    # Of the class: a proxy's instance may answer to any name.
    return hasattr(type(value), method)


def wire(received: Received) -> tuple[object, ...]:
    """A request as it arrived, without what a client makes up anew each time."""
    headers = tuple((key, value) for key, value in received.headers if key.lower() not in _RANDOM_HEADERS)
    return received.method, received.target, headers, received.body


def load(file: str) -> ModuleType:
    """The module in ``file``, imported under a name of its own."""
    spec = importlib.util.spec_from_file_location("kit_subject", file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def play_in_order(order: str, name: str, file: str, kit: str, url: str) -> None:
    """One call in a fresh process, our part ``first`` or ``last``; prints how many calls were told."""
    subject = load(file) if order == "last" else None
    assert order == "last" or name not in sys.modules, f"something imported {name} before its time"
    with capture(only=[name]) as captured, nullcontext(subject or load(file)) as module:
        getattr(module, kit)().play(url)
        sys.stdout.write(f"{len(captured.calls())} told\n")
