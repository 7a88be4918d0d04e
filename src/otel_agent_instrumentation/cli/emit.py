# SPDX-License-Identifier: Apache-2.0
"""Record one event in the ledger, from a shell.

KEY=VALUE is a text; KEY:=VALUE a number, true, false or null. In a command that an agent runs the event belongs to the
agent's run; elsewhere to the file of the day. Never fails because of the ledger: what cannot be written is told on
stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
from opentelemetry.context import Context

from .. import config, semconv
from ..core import contain, handover
from ..core import settings as in_force
from ..core.runs import Run
from ..envelope import line as envelope
from ..envelope.copies import pack
from ..ledger.files import Files, safe
from ..ledger.lines import Event
from ..redaction.policy import default_policy
from ..signals.emitted import Emitted

if TYPE_CHECKING:
    from ..config import Settings

_PLAIN = re.compile(r"-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,16})?|true|false|null")
_SCRIPTS = {"sh": "emit_event.sh", "powershell": "emit_event.ps1"}
_AGENT = "shell"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    _add_options(parser)
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="TYPE [KEY=VALUE ...]",
        help="the event's type, and its fields",
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--payload", metavar="JSON", help="an object with more fields, of any form")
    for name in ("task", "persona", "session"):
        parser.add_argument(f"--{name}-id", metavar="ID", help=f"the {name} that it belongs to")
    parser.add_argument("--script", choices=_SCRIPTS, help="print the function for that shell, which needs no Python")


def run(options: argparse.Namespace) -> int:
    """Record it. Exit codes: 0, 2 (the arguments are none of an event)."""
    # Options may stand between the fields, which a parser with sub-commands does not understand.
    words = argparse.ArgumentParser(prog="otel-agent emit", add_help=False)
    _add_options(words)
    words.add_argument("words", nargs="*")
    given = vars(options).pop("words")
    words.parse_intermixed_args(given, namespace=options)
    if options.script:
        shells = resources.files(__name__.partition(".")[0]) / "shells"
        print((shells / _SCRIPTS[options.script]).read_text(encoding="utf-8"), end="")
        return 0
    try:
        payload = _payload(options)
    except ValueError as error:
        print(f"otel-agent: {error}", file=sys.stderr)
        return 2
    settings = config.load()
    in_force.use(settings)
    default_policy().use(settings)
    told = config.parent_run()
    place = contain.call("emit.place", handover.there, *told) if told is not None else None
    if place is not None and place.run is not None:
        of, name = place.run, f"{safe(place.run.id)}.0-0.jsonl"
    else:
        of = _of_the_day(settings)
        name = f"{of.id}.jsonl"
    context = place.context if place is not None and place.context is not None else Context()
    ids = (options.task_id, options.persona_id, options.session_id)
    packed = pack(payload)
    event = Emitted(len(packed), _text(options.words[0]), time.time_ns(), packed, of, of.pinned, context, *ids).event()
    try:
        _write(Path(settings.ledger_path or Path(settings.ledger_dir, name)), event, of)
    except OSError as error:
        print(f"otel-agent: the event cannot be written: {error.strerror}", file=sys.stderr)
    return 0


def main() -> NoReturn:
    """The command `emit-event`."""
    parser = argparse.ArgumentParser(prog="emit-event", description=(__doc__ or "").strip())
    add_arguments(parser)
    sys.exit(run(parser.parse_args()))


def _payload(options: argparse.Namespace) -> dict[str, Any]:
    if not options.words or not options.words[0]:
        raise ValueError("which event? Give its type: `otel-agent emit health_check status=ok`")
    found = _given(options.payload) if options.payload else {}
    for field in options.words[1:]:
        key, sign, value = _text(field).partition("=")
        if not sign or not key.rstrip(":"):
            raise ValueError(f"{field!r} is neither KEY=VALUE nor KEY:=VALUE")
        plain = key.endswith(":")
        found[key.removesuffix(":")] = json.loads(value) if plain and _PLAIN.fullmatch(value) else value
    found.pop("redacted_fields", None)
    return found


def _given(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, RecursionError, msgspec.MsgspecError):
        raise ValueError("--payload must be a JSON object") from None


def _text(argument: str) -> str:
    """An argument as text: bytes that are none are replaced."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _of_the_day(settings: Settings) -> Run:
    agent = settings.agent_name or settings.service_name or _AGENT
    return Run(f"{_AGENT}-{time.strftime('%Y%m%d', time.gmtime())}", agent)


def _write(path: Path, event: Event, of: Run) -> None:
    """One write, as the function for sh does it: with the file's first line where there is no file yet."""
    files = Files(str(path.parent), str(path))
    files.ready(path)
    lines = [_line(event, of)]
    if path.stat().st_size == 0:
        attributes: dict[str, Any] = {"attributes": {"service.name": of.agent}, "redacted_fields": []}
        lines.insert(0, _line(Event(semconv.EVENT_RESOURCE, event.time_ns, attributes), of))
    files.append(path, [b"".join(lines)], [0])
    files.close()


def _line(event: Event, of: Run) -> bytes:
    tags = {key: value for key, value in event.tags.items() if key != "mistyped"}  # a shell knows texts alone
    line = envelope.Line(
        schema_version=envelope.SCHEMA_VERSION,
        timestamp=envelope.timestamp(event.time_ns),
        source=envelope.source(event.name, of.agent),
        run_id=of.id,
        cycle=event.cycle,
        event=event.name,
        payload=event.payload,
        tags={"agent": of.agent, **of.tags, **tags},
        time_unix_nano=event.time_ns,
        unix=round(event.time_ns / 1e9, 6),
        trace_id=f"{event.trace_id:032x}" if event.trace_id else None,
        span_id=f"{event.span_id:016x}" if event.span_id else None,
        pid=os.getpid(),
    )
    return envelope.encode(line)
