# SPDX-License-Identifier: Apache-2.0
"""House rules that no linter knows: who may touch the SDK, the environment, stdout and `except Exception`; sizes."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from suite_policy import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SRC = ROOT / "src" / "otel_agent_instrumentation"
FILES = sorted(SRC.rglob("*.py"))
MAY_USE_SDK = re.compile(r"(pipeline|redaction|metrics|ledger|testing|cli)/|bootstrap(\.py|/)|cli\.py")
MAY_READ_ENVIRONMENT = {"config.py", "environment.py"}
MAY_CATCH_ALL = {"core/contain.py"}
MAY_PRINT = re.compile(r"(testing|cli)/|cli\.py")
FILE_LINES, INTEGRATION_LINES, FUNCTION_LINES = 400, 150, 40


def violations(path: Path) -> list[str]:
    """Every rule that a file breaks, as `line: what`."""
    name, text = path.relative_to(SRC).as_posix(), path.read_text()
    tree = ast.parse(text)
    nodes = list(ast.walk(tree))
    found = [f"{getattr(node, 'lineno', 1)}: {problem}" for node in nodes for problem in _node_problems(node, name)]
    if text and not text.startswith("# SPDX-License-Identifier: Apache-2.0\n"):
        found.append("1: no SPDX line")
    if text and ast.get_docstring(tree) is None:
        found.append("1: no module docstring")
    limit = INTEGRATION_LINES if re.match(r"integrations/[^_]", name) else FILE_LINES
    if (lines := text.count("\n")) > limit:
        found.append(f"1: {lines} lines, more than {limit}")
    return found


def _node_problems(node: ast.AST, name: str) -> Iterator[str]:
    match node:
        case ast.Import() | ast.ImportFrom():
            yield from _import_problems(node, name)
        case ast.Attribute(value=ast.Name()):
            yield from _attribute_problems(ast.unparse(node), name)
        case ast.ExceptHandler() if name not in MAY_CATCH_ALL:
            caught = "" if node.type is None else ast.unparse(node.type)
            if not caught or re.search(r"\bException\b", caught):
                yield f"except {caught}: use core.contain"
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            docstring = (ast.get_docstring(node, clean=False) or "").splitlines()
            lines = (node.end_lineno or 0) - node.lineno + 1 - len(docstring)
            if lines > FUNCTION_LINES:
                yield f"{node.name} has {lines} lines without its docstring, more than {FUNCTION_LINES}"
        case _:
            pass


def _import_problems(node: ast.Import | ast.ImportFrom, name: str) -> Iterator[str]:
    modules = [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        modules = [f"{node.module}.{module}" for module in modules]
    if any(f"{module}.".startswith("opentelemetry.sdk.") for module in modules) and not MAY_USE_SDK.match(name):
        yield "imports opentelemetry.sdk"


def _attribute_problems(dotted: str, name: str) -> Iterator[str]:
    if dotted in {"os.environ", "os.environb", "os.getenv"} and name not in MAY_READ_ENVIRONMENT:
        yield f"reads {dotted}: take a parameter"
    if dotted in {"sys.stdout", "sys.__stdout__"} and not MAY_PRINT.match(name):
        yield "uses stdout, which may carry a protocol"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SRC).as_posix())
def test_file_keeps_the_house_rules(path):
    assert violations(path) == []
