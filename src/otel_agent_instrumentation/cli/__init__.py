# SPDX-License-Identifier: Apache-2.0
"""The command `otel-agent`: one file a sub-command, with `add_arguments(parser)` and `run(options) -> exit code`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import TYPE_CHECKING

from .. import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "show": f"{__name__}.show",
    "stats": f"{__name__}.stats",
    "diff": f"{__name__}.diff",
    "export": f"{__name__}.export",
    "report": f"{__name__}.report",
    "replay": f"{__name__}.replay",
    "tail": f"{__name__}.tail",
    "serve": f"{__name__}.serve",
    "emit": f"{__name__}.emit",
    "doctor": f"{__name__}.doctor",
    "mirror": f"{__name__}.mirror",
    "redact": f"{__name__}.redact",
    "verify": f"{__name__}.verify",
}
"""Sub-command to module. A module is imported only where its command, or the help, is asked for."""

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command and return its exit code; a usage error exits with 2, as argparse does."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = _parser(arguments).parse_args(arguments)
    try:
        code: int = options.handler(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. The interpreter's own flush at exit must not fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="otel-agent", description="What an instrumented agent did, and whether it is."
    )
    parser.add_argument("--version", action="version", version=f"otel-agent {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in arguments[:1] if arguments[:1] and arguments[0] in COMMANDS else COMMANDS:
        module = importlib.import_module(COMMANDS[name])
        text = (module.__doc__ or "").strip()
        command = commands.add_parser(name, help=text.partition("\n")[0], description=text)
        module.add_arguments(command)
        command.set_defaults(handler=module.run)
    return parser
