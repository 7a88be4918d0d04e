# SPDX-License-Identifier: Apache-2.0
"""Send a run's spans to an OTLP receiver again, as they were, or go through the run step by step (`--step`).

RUN is a ledger file, a folder of them or a run id (its beginning is enough); without it, the newest run. The receiver
is `--to`, else OTEL_EXPORTER_OTLP_ENDPOINT. Ids and times are the run's own: a backend that has it has it twice.
Exit codes: 0 all sent, or shown; 1 nothing found, or not all delivered; 2 wrong usage.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .. import config, semconv
from ._choice import DONE, NOTHING, chosen, fail, guarded, tree_of
from ._progress import progress, size
from ._text import clean, colourful, plural, put

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator

    from ..config import Settings
    from ..ledger.reader import RunFiles
    from ..pipeline.processors import AgentSpanProcessor

_UNUSABLE = 2
_BATCH = 512
_PATIENCE, _LONGEST = 30.0, 86_400.0  # seconds
_PAUSE = 0.5  # seconds between two tries of a batch, beside the pipeline's own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("run", nargs="?", metavar="RUN", help="a file, a folder or a run id; by default the newest run")
    parser.add_argument("--to", metavar="URL", help="the receiver, e.g. http://localhost:4318 (gRPC: port 4317)")
    parser.add_argument("--protocol", choices=("http/protobuf", "grpc"), help="by default by the receiver's port")
    parser.add_argument(
        "--patience", type=_seconds, default=_PATIENCE, metavar="SECONDS", help="how long to try a batch (default: 30)"
    )
    parser.add_argument("--step", action="store_true", help="send nothing: show the run event by event, with its state")
    parser.add_argument("--json", action="store_true", help="with --step one JSON object a line; else what was sent")
    parser.add_argument("--no-color", action="store_true", help="no colours, also on a terminal")


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number <= _LONGEST:
        raise ValueError(text)
    return number


def run(options: argparse.Namespace) -> int:
    """Send or show what was asked for."""
    return guarded(_step if options.step else _send, options, options.run)


# --- step by step ----------------------------------------------------------------------------------------------------


def _step(options: argparse.Namespace) -> int:
    from ._steps import show, steps, told

    code = NOTHING
    for files in chosen(options.run):
        tree, _ = tree_of(files)
        if tree is None:
            continue
        code = DONE
        if options.json:
            for step in steps(tree):
                put(json.dumps(told(step)))
        else:
            show(tree, colours=colourful(sys.stdout, refused=options.no_color))
    return code


# --- to a receiver ---------------------------------------------------------------------------------------------------


def _send(options: argparse.Namespace) -> int:
    found = chosen(options.run)
    if not found:
        return NOTHING
    settings = _settings(options)
    if not settings.for_signal("traces", "endpoint"):
        fail("no receiver: say --to http://localhost:4318, or set OTEL_EXPORTER_OTLP_ENDPOINT")
        return _UNUSABLE
    processor = _processor(settings)
    if processor is None:
        return _UNUSABLE  # and it was said why
    with _hushed():
        try:
            sent = [_replay(files, processor, options.patience) for files in found]
            told = _told(found, sent, processor)
        finally:
            processor.lane.shutdown(0.0)
    if options.json:
        put(json.dumps(told, indent=2))
    elif told["exported"]:
        place = clean(str(settings.for_signal("traces", "endpoint")))
        put(f"{plural(told['exported'], 'span')} of {plural(len(found), 'run')} sent to {place}")
    return _judged(told)


@contextmanager
def _hushed() -> Generator[None]:
    """What pipeline and exporter say of trouble is meant for an agent that goes on; here it is said at the end."""
    loggers = [logging.getLogger(name) for name in (semconv.SCOPE, "opentelemetry")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _settings(options: argparse.Namespace) -> Settings:
    """Those of the environment, with the receiver that the command names."""
    to, protocol = options.to, options.protocol
    named: dict[str, Any] = {"traces_exporter": ("otlp",), "traces_protocol": protocol}
    if to is not None:
        named["traces_endpoint"] = to
    settings = config.load(overrides=named)
    from ..bootstrap.choices import choose

    if to is not None and choose(settings, "traces").protocol != "grpc" and not to.rstrip("/").endswith("/v1/traces"):
        # As OTel's general variable: a base for HTTP.
        settings = settings._replace(traces_endpoint=f"{to.rstrip('/')}/v1/traces")
    return settings


def _processor(settings: Settings) -> AgentSpanProcessor | None:
    """The run's own way out: its queue, its exporter, one attempt after another."""
    from ..bootstrap import exporters
    from ..bootstrap.choices import choose
    from ..pipeline.processors import AgentSpanProcessor
    from ..pipeline.queue import Limits

    made = exporters.load(settings, "traces", choose(settings, "traces"))
    if not made:
        return None
    attempt = settings.for_signal("traces", "timeout")
    return AgentSpanProcessor(made[0], Limits(max_items=2 * _BATCH, batch_items=_BATCH, attempt=attempt))


def _replay(files: RunFiles, processor: AgentSpanProcessor, patience: float) -> tuple[int, int]:
    """Send the spans of a run, a batch at a time; how many there were, and how many lines could not be read."""
    from ..ledger import rebuilt
    from ..redaction.guard import SpanGuard

    guard = SpanGuard()  # the line was redacted by the policy of its time: nothing leaves but by that of today
    guard.add_span_processor(processor)
    queued = unusable = 0
    with progress("sending", size(files.files)) as step:
        for span in rebuilt.spans(files):
            if span is None:
                unusable += 1
                continue
            guard.on_end(span)
            queued += 1
            if queued % _BATCH == 0:
                step(queued)
                if not _delivered(processor, patience):
                    return queued, unusable  # the receiver is down: each further batch would wait as long
    _delivered(processor, patience)
    return queued, unusable


def _delivered(processor: AgentSpanProcessor, patience: float) -> bool:
    """Whether what is queued was delivered, or refused for good, within ``patience`` seconds."""
    until = time.monotonic() + patience
    while not processor.lane.flush(max(_PAUSE, until - time.monotonic())):
        if time.monotonic() >= until:
            return False
        time.sleep(_PAUSE)
    return True


def _told(found: list[RunFiles], sent: list[tuple[int, int]], processor: AgentSpanProcessor) -> dict[str, Any]:
    books = processor.accounts.snapshot()
    return {
        "runs": [files.run_id for files in found],
        "spans": sum(queued for queued, _ in sent),
        "exported": books.exported,
        "unreadable_lines": sum(unusable for _, unusable in sent),
        "not_delivered": books.lost + books.queued + books.unknown,
        "reasons": dict(books.trouble or books.dropped),
    }


def _judged(told: dict[str, Any]) -> int:
    if told["unreadable_lines"]:
        fail(f"left out: {plural(told['unreadable_lines'], 'line')} that cannot be read as a span")
    if told["not_delivered"]:
        reasons = ", ".join(f"{clean(reason)} {count}" for reason, count in sorted(told["reasons"].items()))
        fail(f"{plural(told['not_delivered'], 'span')} not delivered ({reasons or 'no answer'})")
        return NOTHING
    if not told["spans"]:
        return fail("nothing to send: no span that ended in its lines")
    return DONE
