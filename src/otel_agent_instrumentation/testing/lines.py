# SPDX-License-Identifier: Apache-2.0
"""Are the lines that a test left in the ledger what the envelope's schema promises? Empty lists mean yes."""

from __future__ import annotations

import importlib
import re
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import msgspec

from .. import semconv
from ..envelope import line as envelope
from ..envelope import schema

if TYPE_CHECKING:
    from pathlib import Path

_MOST_TOLD = 20
_FIRST = re.compile(rb'"event": ?"resource"')


def check_folder(path: Path) -> list[str]:
    """What is wrong with the ledger files in ``path``, as `file:line: problem`; nothing, if there is none."""
    problems: list[str] = []
    for file in sorted(path.glob("*.jsonl")):
        problems += check_file(file)
        if len(problems) >= _MOST_TOLD:
            break
    return problems[:_MOST_TOLD]


def check_file(file: Path) -> list[str]:
    """What is wrong with one ledger file."""
    problems: list[str] = []
    data = file.read_bytes()
    if data and not data.endswith(b"\n"):
        problems.append(f"{file.name}: the last line is torn")
    for number, line in enumerate(data.splitlines(), start=1):
        if number == 1 and not _FIRST.search(line):
            problems.append(f"{file.name}:1: the first line is not the resource")
        problems += [f"{file.name}:{number}: {problem}" for problem in check_line(line)]
    return problems


def check_line(line: bytes) -> list[str]:
    """What is wrong with one line: the schema, and what a schema cannot say."""
    try:
        document = msgspec.json.decode(line)
    except ValueError as error:
        return [f"no JSON: {error}"]
    problems = _schema_problems(document)
    if problems:
        return problems
    told: dict[str, Any] = document
    time_ns = told.get("time_unix_nano")
    if time_ns is not None and envelope.timestamp(time_ns) != told["timestamp"]:
        problems.append("timestamp and time_unix_nano are two times")
    if told["event"] == semconv.EVENT_SPAN_ENDED:
        problems += _span_problems(told)
    return problems


def _span_problems(told: dict[str, Any]) -> list[str]:
    payload, problems = told["payload"], list[str]()
    if (told["trace_id"], told["span_id"]) != (payload["trace_id"], payload["span_id"]):
        problems.append("the line and its span have different ids")
    if payload["end_time_unix_nano"] < payload["start_time_unix_nano"]:
        problems.append("the span ends before it starts")
    if payload["span_id"] == payload["parent_span_id"]:
        problems.append("the span is its own parent")
    return problems


def _schema_problems(document: Any) -> list[str]:
    validator = _validator()
    if validator is None:
        return _keys(document)
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)]


@cache
def _validator() -> Any:
    """The schema's validator; None where `jsonschema` is not installed, as in the matrix of client versions."""
    try:
        jsonschema: Any = importlib.import_module("jsonschema")
    except ImportError:
        return None
    validator = jsonschema.Draft202012Validator
    document = schema.load()
    validator.check_schema(document)
    return validator(document)


def _keys(document: Any) -> list[str]:
    try:
        line = msgspec.convert(document, envelope.Line)
    except msgspec.ValidationError as error:
        return [str(error)]
    redacted = cast("object", line.payload.get("redacted_fields"))
    return [] if isinstance(redacted, list) else ["payload has no redacted_fields"]
