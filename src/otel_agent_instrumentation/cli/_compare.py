# SPDX-License-Identifier: Apache-2.0
"""Two runs' trees side by side: the steps that both did, and those of one alone.

Children are compared below steps that both did, so a step is looked for where it belongs. Steps are the same if they
have the same kind, name and failure and asked for the same tools; how long they took and what they cost is no
difference in what was done.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

from .. import semconv

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from ._tree import Node

TELLING = ("decision", "outcome", "status", "state", "tool")
"""The fields of an event by which it is another one."""
_MOST = 2000
"""How many children are aligned at most; of more the common beginning and end are, and the rest is taken as it is."""


class Step(NamedTuple):
    """A step of the first run, of the second, or of both."""

    depth: int
    first: Node | None
    second: Node | None

    @property
    def node(self) -> Node:
        """The step, where it does not matter whose."""
        node = self.first or self.second
        if node is None:
            raise ValueError(self)
        return node

    @property
    def sign(self) -> str:
        """`-` of the first alone, `+` of the second alone, else a blank."""
        return "-" if self.second is None else "+" if self.first is None else " "


def steps(first: Node, second: Node) -> Iterator[Step]:
    """The steps of two runs, a parent before its children. Not recursive: a ledger may nest as deep as it likes."""
    stack = [Step(0, first, second)]
    while stack:
        step = stack.pop()
        yield step
        one = step.first.children if step.first is not None else []
        other = step.second.children if step.second is not None else []
        pairs = [(node, None) for node in one] if not other else [(None, node) for node in other]
        if one and other:
            pairs = list(_aligned(one, other))
        stack += [Step(step.depth + 1, *pair) for pair in reversed(pairs)]


def _aligned(first: Sequence[Node], second: Sequence[Node]) -> Iterator[tuple[Node | None, Node | None]]:
    one, other = [_label(node) for node in first], [_label(node) for node in second]
    begin = 0
    while begin < min(len(one), len(other)) and one[begin] == other[begin]:
        begin += 1
    end = 0
    while end < min(len(one), len(other)) - begin and one[-1 - end] == other[-1 - end]:
        end += 1
    yield from zip(first[:begin], second[:begin], strict=True)
    yield from _middle(first[begin : len(one) - end], second[begin : len(other) - end])
    yield from zip(first[len(one) - end :], second[len(other) - end :], strict=True)


def _middle(first: Sequence[Node], second: Sequence[Node]) -> Iterator[tuple[Node | None, Node | None]]:
    if min(len(first), len(second)) and len(first) + len(second) <= _MOST:
        one, other = [_label(node) for node in first], [_label(node) for node in second]
        for how, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
            if how == "equal":
                yield from zip(first[a:b], second[c:d], strict=True)
            else:
                yield from ((node, None) for node in first[a:b])
                yield from ((None, node) for node in second[c:d])
        return
    yield from ((node, None) for node in first)
    yield from ((None, node) for node in second)


def _label(node: Node) -> Hashable:
    said = ()
    if node.kind == "event":
        said = tuple(str(node.attributes.get(key)) for key in TELLING)
    return (node.kind, node.name, node.error, tuple(node.texts(semconv.TOOL_CALL_NAMES)), said)
