# SPDX-License-Identifier: Apache-2.0
"""Beside another vendor's instrumentor, whichever this environment holds: one of us owns each call and its tokens."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.neighbours

OURS = "otel_agent_instrumentation"
NATIVE = "com.anthropic.sdk.python"
BOTH = {"OTEL_AGENT_DISABLED": "openai,anthropic"}
ORDERS = pytest.mark.parametrize("order", [("theirs", "ours"), ("ours", "theirs")], ids=["theirs-first", "ours-first"])


def assert_ours_alone(ran: Any, alone: Any) -> None:
    assert ran.results == alone.results
    assert ran.wire() == alone.wire()
    assert ran.owners() == {call: [OURS] for call in alone.results}
    assert ran.tokens == {OURS: ran.served()}
    assert ran.all_tokens() == alone.served()


@ORDERS
def test_in_code_ours_owns_every_call_whoever_came_first(run, alone, order):
    ran = run(*order, "calls")
    assert_ours_alone(ran, alone)
    state = "taken off" if order[0] == "theirs" else "not activated"
    assert set(map(tuple, ran.report.values())) == {(state, "otel-agent")}
    assert len(ran.report) == 2
    # At once where both are met at once; else as each is met.
    assert len(ran.warnings()) == (1 if order[0] == "theirs" else 2)
    assert "otel-agent's" in ran.warnings()[0]


def test_under_the_launcher_ours_owns_every_call(run, alone):
    ran = run.launched("theirs", "calls") if run.vendor == "logfire" else run.launched("calls")
    assert ran.results == alone.results
    assert ran.wire() == alone.wire()
    owners = [scope for spans in ran.owners().values() for scope in spans]
    assert owners == [OURS] * len(alone.results)
    assert ran.tokens == {OURS: alone.served()}
    assert set(map(tuple, ran.report.values())) == {("not activated", "otel-agent")}
    assert len(ran.warnings()) == (2 if run.vendor == "logfire" else 1)
    assert "OTEL_AGENT_DISABLED=" in ran.warnings()[0]


def test_the_launcher_leaves_them_where_ours_is_switched_off(run, theirs):
    for off in (BOTH, {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "agent"}):
        ran = run.launched("theirs", "calls", **off) if run.vendor == "logfire" else run.launched("calls", **off)
        owners = sorted(scope for spans in ran.owners().values() for scope in spans)
        assert owners == sorted(scope for spans in theirs.owners().values() for scope in spans)
        assert ran.tokens == theirs.tokens
        assert ran.warnings() == []


@ORDERS
def test_in_code_they_own_a_client_that_is_disabled_here(run, theirs, order):
    ran = run(*order, "calls", **BOTH)
    assert ran.owners() == theirs.owners()
    assert ran.tokens == theirs.tokens
    assert ran.warnings() == []
    assert {owner for _, owner in ran.report.values()} != {"otel-agent"}


@ORDERS
def test_they_own_a_client_that_instrument_leaves_out(run, theirs, order):
    order = tuple("ours on anthropic" if step == "ours" else step for step in order)
    ran = run(*order, "calls")
    for call, owners in ran.owners().items():
        assert owners == ([OURS] if "messages" in call else theirs.owners()[call])
    assert len(ran.warnings()) == 1
    assert "openai" not in ran.warnings()[0].partition("OTEL_AGENT_DISABLED=")[2]


@ORDERS
def test_uninstrument_leaves_the_clients_as_they_were(run, alone, order):
    ran = run(*order, "ours off", "calls")
    assert [name for name in ran.changed if "logfire" not in name and "_original_request_method" not in name] == []
    assert ran.results == alone.results
    assert {scope for spans in ran.spans.values() for scope, _, _ in spans} == {NATIVE}
    assert ran.tokens == {}


@ORDERS
def test_they_can_be_activated_after_uninstrument(run, theirs, order):
    ran = run(*order, "ours off", "theirs", "calls")
    assert ran.owners() == theirs.owners()
    assert ran.tokens == theirs.tokens


@ORDERS
def test_ours_goes_on_when_they_are_switched_off(run, alone, order):
    assert_ours_alone(run(*order, "theirs off", "calls"), alone)


@ORDERS
def test_ours_owns_again_after_uninstrument_and_instrument(run, alone, order):
    assert_ours_alone(run(*order, "ours off", "theirs", "ours", "calls"), alone)


def test_a_call_is_theirs_where_they_cannot_be_taken_off(run):
    if run.vendor in {"openinference", "logfire"}:
        pytest.skip("needs: package opentelemetry-instrumentation-openai")  # the others wrap another method
    ran = run("theirs", "bury", "ours", "calls", calls=["chat", "chat stream", "embeddings", "messages"])
    (embedded, message, *_), owners = (ran.owners()[call] for call in ("embeddings", "messages")), ran.owners()
    assert len(owners["chat"]) == len(owners["chat stream"]) == 1
    assert owners["chat"][0] != OURS
    assert message == [OURS]
    assert len(embedded) == 1
    assert any("cannot be taken off" in line for line in ran.warnings())


def test_an_accessor_from_before_is_told_once(run):
    ran = run("theirs", "cache", "ours", "calls", calls=["chat raw", "chat streaming response", "chat"])
    assert {call: len(owners) for call, owners in ran.owners().items()} == dict.fromkeys(ran.owners(), 1)
    assert ran.owners()["chat"] == [OURS]
