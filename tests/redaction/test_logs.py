# SPDX-License-Identifier: Apache-2.0
"""Our own log lines: message, arguments, exception, extra fields, and a filter that fails."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest

from otel_agent_instrumentation.redaction.logs import ScrubFilter, scrub_logger
from otel_agent_instrumentation.redaction.policy import Policy

CANARY = "sk-" + "ant-api03-0123456789canary0123456789"


class Keeping(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def output():
    return io.StringIO(), Keeping()


@pytest.fixture
def logger(output):
    made = logging.Logger("ours", logging.DEBUG)  # noqa: LOG001 - of no hierarchy
    stream = logging.StreamHandler(output[0])
    stream.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    made.addHandler(stream)
    made.addHandler(output[1])
    return made


def test_everything_of_a_record(logger, output):
    scrub_logger(logger)
    scrub_logger(logger)
    assert len(logger.filters) == 1
    try:
        try:
            int(f"cause {CANARY}")
        except ValueError as error:
            raise RuntimeError(f"effect {CANARY}") from error
    except RuntimeError:
        logger.exception(
            "call %s of %d", f"with {CANARY}", 5, stack_info=True, extra={"password": "p", "other": (CANARY, 1)}
        )
    text, (record,) = output[0].getvalue(), output[1].records
    assert CANARY not in text
    assert CANARY not in repr(vars(record))
    assert "ERROR call with REDACTED of 5" in text
    assert "direct cause" in text
    assert (record.password, record.other) == ("REDACTED", ("REDACTED", 1))
    assert record.exc_info is None


def test_a_clean_record_reads_as_before(logger, output):
    scrub_logger(logger)
    logger.info("%s is %d%%", "it", 5)
    assert output[0].getvalue() == "INFO it is 5%\n"


def test_a_stack_and_a_formatted_exception_of_others():
    record: Any = logging.makeLogRecord({"msg": "x", "stack_info": f"Stack: {CANARY}", "exc_text": f"Error: {CANARY}"})
    assert ScrubFilter().filter(record)
    assert (record.stack_info, record.exc_text) == ("Stack: REDACTED", "Error: REDACTED")


@pytest.mark.faults
def test_a_filter_that_fails_passes_nothing_but_the_level(logger, output):
    class Broken(Policy):
        __slots__ = ()

        def value(self, key, value):
            raise RuntimeError

    logger.addFilter(ScrubFilter(Broken()))
    logger.warning("it is %s", CANARY, extra={"mine": CANARY})
    assert output[0].getvalue() == "WARNING REDACTED:error\n"
    assert CANARY not in repr(vars(output[1].records[0]))


@pytest.mark.faults
def test_a_message_that_cannot_be_formatted(logger, output):
    scrub_logger(logger)
    logger.warning("it is %d", CANARY)
    assert output[0].getvalue() == "WARNING REDACTED:error\n"
