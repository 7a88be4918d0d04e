# SPDX-License-Identifier: Apache-2.0
"""What a record costs in memory, estimated on the caller's thread: one pass over its values, no serialisation.

Text is what makes spans large; everything else is a fixed cost, measured once with tracemalloc (3.11, SDK 1.45) and
rounded up. An estimate that is a few per cent off still bounds the queue; an exact one would cost more than the span.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Collection

    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

SPAN_COST = 2_500
LOG_COST = 2_000
EVENT_COST = 800
_VALUE_COST = 80
_SCALARS = frozenset({int, float, bool, type(None)})
# Beyond this a text is weighed rather than counted: four bytes a character in the worst case.
_LONG_TEXT = 1_000
# A value nested or long beyond reason is weighed up to here, so that no record can hold up its caller.
_MOST_NODES = 10_000


def of_span(span: ReadableSpan) -> int:
    """Estimate the memory that ``span`` holds, in bytes."""
    size = SPAN_COST + _of_attributes(getattr(span, "_attributes", None))
    # Private fields are read because the public properties copy; a missing one costs precision only. The SDK's lists
    # and mappings are Python classes around a built-in one, which alone is quick to look at.
    events: Any = getattr(span, "_events", ())
    for event in getattr(events, "_dq", events):
        size += EVENT_COST + of_value(event.attributes)
    links: Any = getattr(span, "_links", ())
    return size + EVENT_COST * len(getattr(links, "_dq", links))


def of_log(record: ReadWriteLogRecord) -> int:
    """Estimate the memory that a log record holds, in bytes."""
    inner = record.log_record
    body = inner.body
    size = LOG_COST + (len(body) if type(body) is str and len(body) < _LONG_TEXT else of_value(body))
    return size + _of_attributes(inner.attributes)


def _of_attributes(attributes: Any) -> int:
    values: Any = getattr(attributes, "_dict", attributes)
    if not values:
        return 0
    size = _VALUE_COST * len(values)
    for value in values.values():
        kind = type(value)  # pyright: ignore[reportUnknownVariableType] - `value.__class__` would be twice as slow
        if kind is str:
            length = len(value)
            size += length if length < _LONG_TEXT else value.__sizeof__()
        elif kind is tuple:
            size += _of_words(value)
        elif kind not in _SCALARS:
            size += of_value(value)
    return size


def _of_words(words: tuple[Any, ...]) -> int:
    """The usual list of an attribute is one of texts: finish reasons, a command's arguments."""
    try:
        return 8 * (len(words) + 1) + sum(map(str.__sizeof__, words))
    except TypeError:
        return of_value(words)


def of_value(value: Any) -> int:
    """Estimate the memory of an attribute value or a log body of any shape, in bytes."""
    size = 0
    todo: list[Any] = [value]
    for _ in range(_MOST_NODES):
        if not todo:
            break
        node = todo.pop()
        if isinstance(node, str | bytes):
            size += node.__sizeof__()
        elif isinstance(node, Mapping):
            inner = cast("Mapping[Any, Any]", node)
            todo.extend(inner.values())
            size += _VALUE_COST * (len(inner) + 1)
        elif isinstance(node, list | tuple | set | frozenset):
            items = cast("Collection[Any]", node)
            todo.extend(items)
            size += 8 * (len(items) + 1)
        else:
            size += 32
    return size
