# SPDX-License-Identifier: Apache-2.0
"""Reading a command off the arguments that start it: never consumed, never changed, redacted and bounded."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from .. import semconv
from ..core.commands import Command
from ..core.spec import Api, Request, Response
from ..redaction.argv import redact_argv, redact_line
from ..redaction.policy import default_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_WORDS = 64
_LONGEST_WORD = 256
_LONGEST_LINE = 1024
# The place of an argument that may be given by position, without the instance: stable since Python 3.3.
_EXECUTABLE, _SHELL = 2, 8
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=\S*\Z")
_PROGRAM = re.compile(r"[\w.+/~-]+\Z")
_TOO_MUCH = 64 * 1024

API = Api(
    semconv.EXECUTE_TOOL,
    lambda body, request: None,  # noqa: ARG005 - the engine's signature
    lambda answer: Response(),  # noqa: ARG005
    kind="INTERNAL",
    durations=(semconv.EXECUTE_TOOL_DURATION,),
)


def of_popen(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
    """The request that the arguments of `Popen` (or of anything with its signature) make."""
    given = args[0] if args else kwargs.get("args")
    shell = bool(args[_SHELL] if len(args) > _SHELL else kwargs.get("shell"))
    executable = args[_EXECUTABLE] if len(args) > _EXECUTABLE else kwargs.get("executable")
    if shell:
        return of_line(text(given[0]) if isinstance(given, (list, tuple)) and given else text(given), executable)  # pyright: ignore[reportUnknownArgumentType]
    # An iterator is left alone: reading it would take it away from the caller.
    words = [text(word) for word in given[:_MOST_WORDS]] if isinstance(given, (list, tuple)) else [text(given)]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    program = text(executable) if executable is not None else words[0] if words else ""
    return _request(program, words[1:], shell=False)


def of_line(line: str, executable: object = None) -> Request:
    """The request that a line for the shell makes. The program is the line's first word, where it is plainly one."""
    words = line[:_TOO_MUCH].split(maxsplit=16)
    program = next((word for word in words if not _ASSIGNMENT.match(word)), "")
    if not _PROGRAM.match(program):
        program = text(executable) if executable is not None else "sh"
    return _request(program, [line], shell=True)  # noqa: S604 - it is told, not run


def _request(path: str, words: Sequence[str], *, shell: bool) -> Request:
    policy = default_policy()
    name = policy.text(redact_line(os.path.basename(path)[:_LONGEST_WORD])) or "unknown"  # noqa: PTH119 - a text, as the caller wrote it
    arguments, changed = redact_argv(name, words, policy)
    longest = _LONGEST_LINE if shell else _LONGEST_WORD
    bounded = tuple([word if len(word) <= longest else f"{word[:longest]}…" for word in arguments])
    command = Command(name, bounded, changed)
    attributes: dict[str, Any] = {
        semconv.TOOL_TYPE: semconv.COMMAND_TOOL,
        semconv.PROCESS_EXECUTABLE_NAME: name,
        # The convention's form: all arguments, the command itself first. A line for the shell stands for itself.
        semconv.PROCESS_COMMAND_ARGS: bounded if shell else (name, *bounded),
    }
    if shell:
        attributes[semconv.COMMAND_SHELL] = True
    elif name != path:
        attributes[semconv.PROCESS_EXECUTABLE_PATH] = policy.text(redact_line(path))[:_LONGEST_LINE]
    return Request(
        semconv.EXECUTE_TOOL,
        name=f"{semconv.EXECUTE_TOOL} {semconv.COMMAND_TOOL} {name}",
        tool=semconv.COMMAND_TOOL,
        attributes=attributes,
        body=command,
    )


def text(value: object) -> str:
    """One argument as text; empty where it is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, os.PathLike)):
        return os.fsdecode(value)  # pyright: ignore[reportUnknownArgumentType]
    return "" if value is None or hasattr(value, "__iter__") else str(value)
