# SPDX-License-Identifier: Apache-2.0
"""Reading facts out of what clients hand us: their models, or decoded JSON where the caller wanted the raw answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MOST_PARTS = 16
_NOTHING: Mapping[str, Any] = {}
_MOST = 2**63 - 1
"""OTLP's integers have 64 bits: one longer number would lose the whole batch that it is exported with."""


def get(node: Any, key: str) -> Any:
    """``node[key]`` or ``node.key``, whichever the node has; None where it has neither."""
    if type(node) is dict:
        return node.get(key)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    try:
        fields = node.__dict__
    except AttributeError:
        return getattr(node, key, None)
    if key in fields:
        return fields[key]
    # A pydantic model would search long for what it lacks: its further fields are in here, None where it keeps none.
    extra: Any = getattr(node, "__pydantic_extra__", node)
    if extra is node:
        return getattr(node, key, None)
    return extra.get(key) if extra is not None else None


def fields(node: Any) -> Mapping[str, Any]:
    """What ``node`` holds by name, for several looks: a JSON object, or a pydantic model's own and extra fields.

    Empty for everything else: a client's model without fields says nothing that could be read.
    """
    if type(node) is dict:
        return cast("dict[str, Any]", node)
    own: Any = getattr(node, "__dict__", None)
    if own is None:
        return _NOTHING
    extra: Any = getattr(node, "__pydantic_extra__", None)
    return {**own, **extra} if extra else own


def text(value: Any) -> str | None:
    """``value`` if it is a string that says something; a lone surrogate, which no exporter can encode, as `?`."""
    if not isinstance(value, str) or not value:
        return None
    if type(value) is str and value.isascii():
        return value
    # A subclass, such as an enumeration's member, is not a string to every version of OTel's: told as what it holds.
    return str.encode(value, "utf-8", "replace").decode()


def index(node: Any) -> int:
    """The ``index`` of a choice, a call or a block; 0 where it has none. A string has a method of that name."""
    value = get(node, "index")
    return value if type(value) is int else 0


def decode(data: bytes) -> Any:
    """``data`` as JSON, with what clients put up with (NaN, lone surrogates); None where it is none."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):  # a ValueError of its own since msgspec 0.20
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            return None


def count(value: Any) -> int | None:
    """``value`` if it is a count: providers were seen to answer null, strings and floats where a count belongs."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MOST else None


def items(value: Any) -> Iterable[Any]:
    """``value`` if it is a list or tuple. A one-shot iterator is the caller's: it is never consumed here."""
    return value if isinstance(value, (list, tuple)) else ()  # pyright: ignore[reportUnknownVariableType]


def mark(messages: Any) -> int | None:
    """A digest of what is asked: how many messages, the first and the last. None where it cannot be had cheaply.

    What an agent asks differs from its last question in one of the three, or it asks the same again.
    """
    if isinstance(messages, str):
        return hash(messages)
    if not isinstance(messages, (list, tuple)) or not messages:
        return None
    sent: list[Any] = messages  # pyright: ignore[reportUnknownVariableType, reportAssignmentType]
    last = _words(sent[-1])
    return None if last is None else hash((len(sent), last, _words(sent[0])))


def _words(message: Any) -> object:
    for key in ("content", "output", "text"):
        said = get(message, key)
        if isinstance(said, str):
            return said
        if isinstance(said, list) and len(said) <= _MOST_PARTS:  # pyright: ignore[reportUnknownArgumentType]
            parts = tuple(map(_words, said))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            return None if None in parts else parts
    return None


def parameters(body: Any, table: Mapping[str, tuple[str, type | tuple[type, ...]]]) -> dict[str, Any]:
    """The request parameters that ``table`` maps from a body key to (attribute, accepted types)."""
    found: dict[str, Any] = {}
    for key, (attribute, types) in table.items():
        value = body.get(key)
        if value is None or not isinstance(value, types) or value is True or value is False:
            continue
        value = _sound(value)
        if value is not None:
            found[attribute] = value
    return found


def _sound(value: Any) -> Any:
    """``value`` if every exporter can encode it."""
    if isinstance(value, str):
        return text(value)
    if type(value) is int:
        return value if -_MOST <= value <= _MOST else None
    if isinstance(value, list):
        words = cast("list[Any]", value)
        return [text(word) or "" for word in words] if all(isinstance(word, str) for word in words) else None
    return value
