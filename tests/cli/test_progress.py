# SPDX-License-Identifier: Apache-2.0
"""The bar of long work is for terminals alone, and leaves nothing behind."""

from __future__ import annotations

import io

import pytest

from otel_agent_instrumentation.cli import _progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def stderr(monkeypatch):
    monkeypatch.setattr(_progress, "_AFTER", 0)
    monkeypatch.setattr(_progress, "_EVERY", 0)

    def use(stream):
        monkeypatch.setattr("sys.stderr", stream)
        return stream

    return use


def test_it_is_drawn_on_a_terminal_and_wiped_away(stderr):
    stream = stderr(Terminal())
    with _progress.progress("reading", 200) as step:
        step(50)
        step(500)
    assert stream.getvalue() == (f"\rreading [{'#' * 6:<24}]  25%\rreading [{'#' * 24}] 100%\r\x1b[K")


def test_nothing_is_drawn_elsewhere_or_of_nothing(stderr):
    stream = stderr(io.StringIO())
    with _progress.progress("reading", 200) as step:
        step(50)
    terminal = stderr(Terminal())
    with _progress.progress("reading", 0) as step:
        step(50)
    assert stream.getvalue() == terminal.getvalue() == ""


def test_short_work_shows_none(stderr, monkeypatch):
    monkeypatch.setattr(_progress, "_AFTER", 3600)
    stream = stderr(Terminal())
    with _progress.progress("reading", 200) as step:
        step(100)
    assert stream.getvalue() == ""


def test_it_is_wiped_away_when_the_work_fails(stderr):
    stream = stderr(Terminal())

    def work():
        with _progress.progress("reading", 200) as step:
            step(100)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert stream.getvalue().endswith("\r\x1b[K")
