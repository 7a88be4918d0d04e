# SPDX-License-Identifier: Apache-2.0
"""The routes of the configuration file: which lines leave besides, and where to (requirements, L8).

Each `[[routes]]` has one destination (`file`, `tcp`, `zmq`, `websocket` or `call`), the keys of a filter
(:mod:`.filters`) and what is said about its queue. A route that says something wrong is left out as a whole: without
the filter that was meant, it would send what nobody wanted to leave.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, cast

from . import filters
from .filters import Filter

DESTINATIONS = {
    "file": re.compile(r".+"),
    "tcp": re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:/\s]+):\d{1,5}"),
    "zmq": re.compile(r"(tcp://\S+:\d{1,5}|ipc://.+)"),
    "websocket": re.compile(r"wss?://\S+"),
    "call": re.compile(r"[\w.]+(:[\w.]+)?"),
}
"""What each kind of destination looks like."""
_NAME = re.compile(r"[\w. -]{1,40}")
_MOST_BYTES = 16 * 1024 * 1024


class Route(NamedTuple):
    """One way that lines leave."""

    name: str
    kind: str
    to: str
    wanted: Filter = Filter()
    queue_bytes: int = _MOST_BYTES
    """Most bytes that wait for it; the oldest go first."""
    token: str = ""
    """What a WebSocket server is shown as `Authorization: Bearer`."""


class Routes(NamedTuple):
    """Those that can be used, and a sentence about each that cannot."""

    routes: tuple[Route, ...]
    warnings: tuple[str, ...]


def read(section: object) -> Routes:
    """The routes of the file's `routes`. Never raises."""
    if not isinstance(section, list):
        return Routes((), ("`routes` must be a list of tables, `[[routes]]`; it is ignored",))
    routes: list[Route] = []
    warnings: list[str] = []
    for number, table in enumerate(cast("list[object]", section), start=1):
        wrong: list[str] = []
        route = _route(number, table, {one.name for one in routes}, wrong)
        if wrong:
            warnings.append(f"route {number} of `[[routes]]` is left out: {'; '.join(wrong)}")
        elif route is not None:
            routes.append(route)
    return Routes(tuple(routes), tuple(warnings))


def _route(number: int, table: object, taken: set[str], wrong: list[str]) -> Route | None:
    if not isinstance(table, dict):
        wrong.append("it is no table")
        return None
    keys = dict(cast("dict[str, Any]", table))
    kinds = [kind for kind in DESTINATIONS if kind in keys]
    if len(kinds) != 1:
        wrong.append(f"it needs one of {', '.join(f'`{kind}`' for kind in DESTINATIONS)}")
    kind = kinds[0] if kinds else ""
    to = _taken(keys, kind, DESTINATIONS.get(kind), wrong) or ""
    for other in kinds[1:]:
        del keys[other]
    name = _taken(keys, "name", _NAME, wrong) or f"{kind} {number}"
    if name in taken:
        wrong.append("another route has the same `name`")
    queue_bytes = keys.pop("queue_bytes", _MOST_BYTES)
    if type(queue_bytes) is not int or queue_bytes < 1:
        wrong.append("`queue_bytes` must be a whole number of at least 1")
    token = _taken(keys, "token", re.compile(r"[!-~]+"), wrong) or ""
    if token and kind != "websocket":
        wrong.append("`token` is for `websocket` alone")
    wanted = {key: keys.pop(key) for key in filters.KEYS if key in keys}
    wrong.extend(f"unknown key `{key}`" for key in keys)
    return Route(name, kind, to, _filter(wanted, wrong), queue_bytes, token)


def _taken(keys: dict[str, Any], key: str, form: re.Pattern[str] | None, wrong: list[str]) -> str | None:
    value = keys.pop(key, None)
    if value is None or form is None:
        return None
    if isinstance(value, str) and form.fullmatch(value):
        return value
    wrong.append(f"`{key}` is not what it must be")
    return None


def _filter(wanted: dict[str, Any], wrong: list[str]) -> Filter:
    found = Filter()
    for key, value in wanted.items():
        try:
            found = found._replace(**{key: getattr(filters.read({key: value}), key)})
        except ValueError as error:
            wrong.append(str(error))
        else:
            if not getattr(found, key):
                wrong.append(f"`{key}` is empty")
    return found
