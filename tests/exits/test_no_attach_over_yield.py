# SPDX-License-Identifier: Apache-2.0
"""No span of ours is current across a `yield`: a caller who leaves such a generator would keep it as his own."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from suite_policy import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

SRC = ROOT / "src" / "otel_agent_instrumentation"
ATTACHING = ("attach", "start_as_current_span", "start_as_current", "use_span")
# Attaches for a turn and detaches before it yields; what the caller has with every item is looked at in test_ways_out.
WITHIN_A_TURN = {("core/streams.py", "_sync_reader")}
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def own(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below, without those of functions and classes within."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, SCOPES):
            yield from own(child)


def attaches(node: ast.AST) -> bool:
    """Whether a call makes a context current."""
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name.lstrip("_") in ATTACHING


def offences(source: str) -> list[str]:
    """Generators that attach, and functions made or generators handed out while something is attached."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            nodes = list(own(node))
            managed = any(ast.unparse(item).endswith("contextmanager") for item in node.decorator_list)
            if (
                not managed
                and any(map(attaches, nodes))
                and any(isinstance(item, ast.Yield | ast.YieldFrom) for item in nodes)
            ):
                found.append(f"{node.lineno}: {node.name} attaches and yields")
        if isinstance(node, ast.With | ast.AsyncWith) and any(attaches(item.context_expr) for item in node.items):
            inner = [item for statement in node.body for item in ast.walk(statement)]
            if any(isinstance(item, (*SCOPES, ast.GeneratorExp)) for item in inner):
                found.append(f"{node.lineno}: a function made in a `with` that attaches")
    return found


@pytest.mark.parametrize("path", sorted(SRC.rglob("*.py")), ids=lambda path: path.relative_to(SRC).as_posix())
def test_nothing_of_ours_is_attached_over_a_yield(path):
    """But a context manager may, which is held by a `with` to that block's end: `run()`, `suppress()`."""
    within = [name for file, name in WITHIN_A_TURN if file == path.relative_to(SRC).as_posix()]
    found = [offence for offence in offences(path.read_text()) if offence.split()[1] not in within]
    assert found == []
    assert len(offences(path.read_text())) == len(within)


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    with tracer.start_as_current_span('x'):\n        yield 1",
        "async def f():\n    token = context.attach(c)\n    async for x in y:\n        yield x",
        "def f():\n    token = _attach(c)\n    yield from g()",
        "def f():\n    with trace.use_span(s):\n        def inner():\n            pass\n        return inner",
        "def f():\n    with start_as_current_span('x'):\n        return (x for x in y)",
    ],
)
def test_the_lint_sees(source):
    assert len(offences(source)) == 1


def test_the_lint_lets_pass():
    assert offences("def f():\n    t = attach(c)\n    try:\n        return g()\n    finally:\n        detach(t)") == []
    assert offences("@contextmanager\ndef f():\n    t = attach(c)\n    yield\n    detach(t)") == []
    assert offences("def f():\n    def g():\n        yield 1\n    attach(c)\n    return g") == []
