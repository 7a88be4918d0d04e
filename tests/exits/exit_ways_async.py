# SPDX-License-Identifier: Apache-2.0
"""The ways in which an async caller leaves a stream."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

from exit_shapes import BARE
from exit_ways import CallerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from exit_harness import Seen
    from exit_shapes import Call


async def hold(call: Call, seen: Seen) -> Any:
    """Return the stream (or the raw answer) as a caller has it who uses no `async with`."""
    block = await call.block()
    return seen.hold(block if call.api in BARE else await block.__aenter__())


async def drain(call: Call, seen: Seen) -> None:
    held = await hold(call, seen)
    async for item in await call.items(held):
        seen(item)


async def drain_in_block(call: Call, seen: Seen) -> None:
    async with await call.block() as held:
        async for item in await call.items(seen.hold(held)):
            seen(item)


async def break_and_keep(call: Call, seen: Seen) -> None:
    held = await hold(call, seen)
    seen.kept = held, (iterator := aiter(await call.items(held)))
    async for item in iterator:
        seen(item)
        if seen.enough:
            break


async def break_and_drop(call: Call, seen: Seen) -> None:
    held = await hold(call, seen)
    async for item in await call.items(held):
        seen(item)
        if seen.enough:
            break
    del held
    gc.collect()


async def break_in_block(call: Call, seen: Seen) -> None:
    async with await call.block() as held:
        async for item in await call.items(seen.hold(held)):
            seen(item)
            if seen.enough:
                break


async def break_and_close(call: Call, seen: Seen) -> None:
    held = await hold(call, seen)
    async for item in await call.items(held):
        seen(item)
        if seen.enough:
            break
    for _ in range(2):
        await (held.aclose() if hasattr(held, "aclose") else held.close())


async def raise_in_block(call: Call, seen: Seen) -> None:
    async with await call.block() as held:
        async for item in await call.items(seen.hold(held)):
            seen(item)
            if seen.enough:
                raise CallerError


async def raise_in_loop(call: Call, seen: Seen) -> None:
    held = await hold(call, seen)
    async for item in await call.items(held):
        seen(item)
        if seen.enough:
            raise CallerError


async def never_and_drop(call: Call, seen: Seen) -> None:
    held = await hold(call, seen)
    items = await call.items(held)
    del held, items
    gc.collect()


async def never_and_close(call: Call, seen: Seen) -> None:
    await (await hold(call, seen)).close()


async def never_in_block(call: Call, seen: Seen) -> None:
    async with await call.block() as held:
        seen.hold(held)


async def generator_dropped(call: Call, seen: Seen) -> None:
    """A caller's own generator over the stream; the loop closes it, in a task of its own."""

    async def passed_on() -> AsyncIterator[Any]:
        async with await call.block() as held:
            async for item in await call.items(seen.hold(held)):
                yield item

    outer = passed_on()
    async for item in outer:
        seen(item)
        if seen.enough:
            break
    del outer


async def wait_in_block(call: Call, seen: Seen) -> None:
    """The body of the loop waits for something else when it is cancelled."""
    async with await call.block() as held:
        async for item in await call.items(seen.hold(held)):
            seen(item)
            if seen.enough:
                seen.waiting = True
                await asyncio.Event().wait()


async def timeout_in_body(call: Call, seen: Seen) -> None:
    """`asyncio.timeout` around the loop, which runs out while the client waits for the provider."""
    async with asyncio.timeout(None) as limit:
        held = await hold(call, seen)
        async for item in await call.items(held):
            seen(item)
            limit.reschedule(asyncio.get_running_loop().time() + 0.1)
