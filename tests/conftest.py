# SPDX-License-Identifier: Apache-2.0
"""What holds in every test: nothing of ours, and nothing of OpenTelemetry's, is left behind or went wrong unseen."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from opentelemetry import context, trace

from otel_agent_instrumentation.core import contain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest_plugins = ["suite_policy"]
# The kit's tests assert: pytest is to say what was compared.
pytest.register_assert_rewrite(
    "otel_agent_instrumentation.testing.kit", "otel_agent_instrumentation.testing.kit_subject"
)

_WATCHED = ("opentelemetry", "otel_agent_instrumentation")
_SETTINGS = ("OTEL_", "AGI_")


def pytest_configure() -> None:
    """Undo what a background job of a shell has: SIGINT ignored, and so for the agents that tests start."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class _Warnings(logging.Handler):
    """Keeps warnings and errors of the watched loggers as text: a record would keep its exception's frames alive."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.name}: {record.getMessage()}")


@pytest.fixture(autouse=True)
def every_test(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the test in a folder of its own without the caller's settings, then look for what it left."""
    for name in list(os.environ):
        if name.startswith(_SETTINGS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_AGENT_COST", "table")  # the library of prices takes each process half a second to load
    monkeypatch.chdir(tmp_path)
    contain.reset()
    warnings, before = _Warnings(), context.get_current()
    for name in _WATCHED:
        logging.getLogger(name).addHandler(warnings)
    try:
        yield
    finally:
        for name in _WATCHED:
            logging.getLogger(name).removeHandler(warnings)
    faults = contain.faults()
    contain.reset()
    problems: list[str] = []
    if request.node.get_closest_marker("faults") is None:
        problems += [f"contained fault at {site}, {count}x" for site, count in faults.items()]
        if request.node.get_closest_marker("logs") is None:
            problems += warnings.lines
    problems += _left_behind(before)
    if problems:
        pytest.fail("the test left or hid:\n  " + "\n  ".join(problems), pytrace=False)


def _left_behind(before: context.Context) -> list[str]:
    """What the test left current or patched; the context is put back, so that the next test is judged on its own."""
    problems: list[str] = []
    if context.get_current() != before:
        problems.append(f"a context is left attached; its span: {trace.get_current_span()}")
        context.attach(before)
    patching = sys.modules.get("otel_agent_instrumentation.core.patching")
    if patching is not None:
        problems += [f"a patch is left: {patch}" for patch in patching.patched()]
    return problems
