# SPDX-License-Identifier: Apache-2.0
"""A fault of ours is swallowed, counted and told once; what is not a fault passes."""

from __future__ import annotations

import asyncio

import pytest

from otel_agent_instrumentation.core import contain


def fail():
    raise ValueError("sk-secret")


@pytest.mark.faults
def test_a_fault_is_counted_each_time_and_told_once_without_its_message(caplog):
    for _ in range(2):
        with contain.Contained("here"):
            fail()
    assert contain.call("there", fail, default=7) == 7
    assert contain.faults() == {"here": 2, "there": 1}
    assert [record.levelname for record in caplog.records].count("WARNING") == 2
    assert not any("sk-secret" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_what_is_not_a_fault_passes(error):
    with pytest.raises(error), contain.Contained("here"):
        raise error
    assert contain.faults() == {}


def test_a_result_passes():
    assert contain.call("here", max, 1, 2) == 2


@pytest.mark.logs
def test_warn_once_warns_once(caplog):
    assert contain.warn_once("key", "lost %s", "x")
    assert not contain.warn_once("key", "lost %s", "x")
    assert [record.getMessage() for record in caplog.records] == ["lost x"]
