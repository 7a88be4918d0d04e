# SPDX-License-Identifier: Apache-2.0
"""The ways in which a sync caller leaves a stream. Each is written as a user would write it."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from exit_shapes import BARE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exit_harness import Seen
    from exit_shapes import Call


class CallerError(Exception):
    """What the caller's own code raises."""


def hold(call: Call, seen: Seen) -> Any:
    """Return the stream (or the raw answer) as a caller has it who uses no `with`."""
    block = call.block()
    return seen.hold(block if call.api in BARE else block.__enter__())


def drain(call: Call, seen: Seen) -> None:
    held = hold(call, seen)
    for item in call.items(held):
        seen(item)


def drain_in_block(call: Call, seen: Seen) -> None:
    with call.block() as held:
        for item in call.items(seen.hold(held)):
            seen(item)


def break_and_keep(call: Call, seen: Seen) -> None:
    held = hold(call, seen)
    # The iterable too: a caller may go on with it later.
    seen.kept = held, (iterator := iter(call.items(held)))
    for item in iterator:
        seen(item)
        if seen.enough:
            break


def break_and_drop(call: Call, seen: Seen) -> None:
    held = hold(call, seen)
    for item in call.items(held):
        seen(item)
        if seen.enough:
            break
    del held
    gc.collect()


def break_in_block(call: Call, seen: Seen) -> None:
    with call.block() as held:
        for item in call.items(seen.hold(held)):
            seen(item)
            if seen.enough:
                break


def break_and_close(call: Call, seen: Seen) -> None:
    held = hold(call, seen)
    for item in call.items(held):
        seen(item)
        if seen.enough:
            break
    held.close()
    held.close()


def raise_in_block(call: Call, seen: Seen) -> None:
    with call.block() as held:
        for item in call.items(seen.hold(held)):
            seen(item)
            if seen.enough:
                raise CallerError


def raise_in_loop(call: Call, seen: Seen) -> None:
    held = hold(call, seen)
    for item in call.items(held):
        seen(item)
        if seen.enough:
            raise CallerError


def never_and_drop(call: Call, seen: Seen) -> None:
    held = hold(call, seen)
    items = call.items(held)
    del held, items
    gc.collect()


def never_and_close(call: Call, seen: Seen) -> None:
    hold(call, seen).close()


def never_in_block(call: Call, seen: Seen) -> None:
    with call.block() as held:
        seen.hold(held)


def generator_dropped(call: Call, seen: Seen) -> None:
    """A caller's own generator over the stream, as a web framework drops it when its client goes away."""

    def passed_on() -> Iterator[Any]:
        with call.block() as held:
            yield from call.items(seen.hold(held))

    outer = passed_on()
    for item in outer:
        seen(item)
        if seen.enough:
            break
    del outer
