# SPDX-License-Identifier: Apache-2.0
"""One hook after a fork for all of this layer: a child starts with empty queues, fresh locks and no thread.

`os.register_at_fork` keeps what it is given for ever, so it is called once, and the objects are held weakly here.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

from ..core import contain


class _Resettable(Protocol):
    def reset_in_child(self) -> None: ...


_members: list[weakref.ref[_Resettable]] = []


def reset_after_fork(member: _Resettable) -> None:
    """Call ``member.reset_in_child()`` in every forked child, as long as ``member`` lives."""
    # Rebuilt rather than mutated: a fork in another thread sees the old list or the new one, both whole.
    global _members  # noqa: PLW0603 - see above
    _members = [*(ref for ref in _members if ref() is not None), weakref.ref(member)]


def _in_child() -> None:
    contain.after_fork_in_child()
    for ref in _members:
        member = ref()
        if member is not None:
            contain.call("pipeline.fork", member.reset_in_child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
