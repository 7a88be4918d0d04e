# SPDX-License-Identifier: Apache-2.0
"""Try redaction on a file or on standard input, or scrub an old ledger.

Without an option: where something would go, and by which rule; never the secret itself. The policy is that of the
configuration file and the environment.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .. import config
from ..redaction.policy import Policy
from ..redaction.rules import Hit, build, built_in

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", nargs="?", default="-", help="the file to look at; standard input without one")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--text", action="store_true", help="print the redacted text")
    what.add_argument("--check", action="store_true", help="exit with 1 if anything would go")
    what.add_argument("--scrub", metavar="OUT", help="FILE is a ledger: write it redacted to OUT, which may be FILE")
    what.add_argument("--rules", action="store_true", help="list the rules, whether they are on, and their sources")


def run(options: argparse.Namespace) -> int:
    """Look, and say what was found. Exit codes: 0, 1 (`--check` found something), 2 (a file cannot be used)."""
    settings = config.load()
    for warning in settings.warnings:
        print(f"otel-agent: {warning}", file=sys.stderr)
    policy = Policy(settings=settings).at("command")
    if options.rules:
        _list_rules(settings)
        return 0
    try:
        raw = sys.stdin.buffer.read() if options.file == "-" else Path(options.file).read_bytes()
        if options.scrub:
            return _scrub(policy, raw, Path(options.scrub))
    except OSError as error:
        print(f"otel-agent: {options.file}: {error.strerror}", file=sys.stderr)
        return 2
    text = raw.decode("utf-8", "surrogateescape")
    if options.text:
        sys.stdout.buffer.write(policy.text(text).encode("utf-8", "surrogateescape"))
        return 0
    return _tell(policy, text, options)


def _tell(policy: Policy, text: str, options: argparse.Namespace) -> int:
    hits = policy.hits(text)
    name = "<stdin>" if options.file == "-" else options.file
    for line, column, hit in _places(text, hits):
        print(f"{name}:{line}:{column}: {hit.rule}, {hit.end - hit.start} characters")
    rules = len({hit.rule for hit in hits})
    print(f"{len(hits)} values would be replaced, by {rules} rules" if hits else "nothing would be replaced")
    return 1 if hits and options.check else 0


def _places(text: str, hits: list[Hit]) -> Iterator[tuple[int, int, Hit]]:
    line, start = 1, 0
    for hit in hits:
        line += text.count("\n", start, hit.start)
        start = hit.start
        yield line, hit.start - text.rfind("\n", 0, hit.start), hit


def _list_rules(settings: config.Settings) -> None:
    on = {rule.id for rule in build(settings.redaction_off, settings.redaction_on, settings.redaction.rules)}
    for row in built_in():
        print(f"{'on ' if row.id in on else 'off'}  {row.kind:6}  {row.id:24}  {row.source}")
    for rule in settings.redaction.rules:
        print(f"{'on ' if rule.id in on else 'off'}  user    {rule.id:24}  the configuration file")


def _scrub(policy: Policy, raw: bytes, out: Path) -> int:
    """Write the ledger's lines redacted: whole or not at all, and for its owner alone, as the ledger itself is."""
    lines = [_scrubbed(policy, line) for line in raw.decode("utf-8", "surrogateescape").split("\n")]
    made = out.with_name(f".{out.name}.{os.getpid()}")
    file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "wb") as writer:
        writer.write("\n".join(lines).encode("utf-8", "surrogateescape"))
    made.replace(out)
    total = sum(policy.counts().values())
    print(f"{len([line for line in lines if line])} lines written to {out}; {total} values replaced")
    return 0


def _scrubbed(policy: Policy, text: str) -> str:
    if not text.strip():
        return text
    try:
        line: Any = json.loads(text)
    except ValueError:
        return policy.text(text)  # torn, or not a ledger's
    if not isinstance(line, dict):
        return policy.text(text)
    told, paths = policy.payload(cast("dict[str, Any]", line), "")
    if not paths:
        return text
    redacted: dict[str, Any] = {**told}
    payload = redacted.get("payload")
    if isinstance(payload, dict):
        redacted["payload"] = _with_fields(cast("dict[str, Any]", payload), paths)
    return json.dumps(redacted, ensure_ascii=False, separators=(",", ":"))


def _with_fields(payload: dict[str, Any], paths: list[str]) -> dict[str, Any]:
    """Return the ``payload`` of a ledger's line with the ``paths`` of what was replaced added to those it lists."""
    fields = {*payload.get("redacted_fields", ()), *(path.removeprefix(".") for path in paths)}
    return {**payload, "redacted_fields": sorted(fields)}
