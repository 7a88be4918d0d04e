# SPDX-License-Identifier: Apache-2.0
"""Beside another vendor's instrumentor, whichever this environment holds: one of us owns each call and its tokens."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.neighbours, pytest.mark.timeout(240)]

OURS = "otel_agent_instrumentation"
NATIVE = "com.anthropic.sdk.python"
ORDERS = pytest.mark.parametrize("order", [("theirs", "ours"), ("ours", "theirs")], ids=["theirs-first", "ours-first"])


def assert_ours_alone(phase: Any, nobody: Any) -> None:
    assert phase.results == nobody.results
    assert phase.wire() == nobody.wire()
    assert phase.owners() == {call: [OURS] for call in nobody.results}
    assert phase.tokens == {OURS: nobody.served()}


@ORDERS
def test_in_code_ours_owns_every_call_until_uninstrument_and_then_they_can_come_back(run, before, order):
    nobody = before["nobody"]
    off = ("ours off", "look:off", "calls:off", "theirs", "calls:theirs")
    ran = run(*order, "calls:both", "look:both", *off, "ours", "calls:again", "theirs off", "calls:theirs off")

    for phase in ("both", "again", "theirs off"):
        assert_ours_alone(ran.phases[phase], nobody)
    state = "taken off" if order[0] == "theirs" else "not activated"
    assert [row[1:] for row in ran.reports["both"]] == [[state, "otel-agent"]] * 2
    # At once where both are met at once; else as each is met.
    warnings = [warning for warning in ran.warnings() if "otel-agent's, once each" in warning]
    assert len(set(warnings)) == len(warnings) == (1 if order[0] == "theirs" else 3)

    assert [name for name in ran.changed["off"] if not name.endswith(("_by_logfire", "_original_request_method"))] == []
    assert ran.phases["off"].results == nobody.results
    assert {scope for spans in ran.phases["off"].spans.values() for scope, _, _ in spans} == {NATIVE}
    assert ran.phases["off"].tokens == {}
    assert ran.phases["theirs"].owners() == before["theirs"].owners()
    assert ran.phases["theirs"].tokens == before["theirs"].tokens


def test_under_the_launcher_ours_owns_every_call(run, before):
    ran, phase = run.launched()
    assert phase.results == before["nobody"].results
    assert phase.wire() == before["nobody"].wire()
    owners = [scope for spans in phase.owners().values() for scope in spans]
    assert owners == [OURS] * len(before["nobody"].results)
    assert phase.tokens == {OURS: before["nobody"].served()}
    assert [row[1:] for row in ran.reports["all"]] == [["not activated", "otel-agent"]] * 2
    assert len(ran.warnings()) == (2 if run.vendor == "logfire" else 1)


@pytest.mark.parametrize(
    "setting",
    [("OTEL_AGENT_DISABLED", "openai,anthropic"), ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "agent")],
    ids=["disabled", "never-came"],
)
def test_under_the_launcher_they_own_what_ours_does_not(run, before, setting):
    ran, phase = run.launched(**dict([setting]))
    # anthropic's own spans apart: Logfire drops some, where the provider is its own.
    owners, expected = (
        sorted(scope for spans in it.owners().values() for scope in spans if scope != NATIVE)
        for it in (phase, before["theirs"])
    )
    assert owners == expected
    assert phase.tokens == before["theirs"].tokens
    assert ran.warnings() == []


@ORDERS
def test_in_code_they_own_a_client_that_is_disabled_here(run, before, order):
    ran = run(*order, "calls:both", "look:both", OTEL_AGENT_DISABLED="openai,anthropic")
    assert ran.phases["both"].owners() == before["theirs"].owners()
    assert ran.phases["both"].tokens == before["theirs"].tokens
    assert ran.warnings() == []
    assert "otel-agent" not in {owner for _, _, owner in ran.reports["both"]}


@pytest.mark.parametrize("order", [("theirs", "ours on anthropic"), ("ours on anthropic", "theirs")])
def test_they_own_a_client_that_instrument_leaves_out(run, before, order):
    ran = run(*order, "calls:both")
    for call, owners in ran.phases["both"].owners().items():
        assert owners == ([OURS] if "messages" in call else before["theirs"].owners()[call])
    (warning,) = ran.warnings()
    assert "OTEL_AGENT_DISABLED=anthropic." in warning


def test_a_call_is_told_once_where_another_library_lies_over_theirs(run):
    calls = ["chat", "chat stream", "embeddings", "messages"]
    ran = run("theirs", "bury", "ours", "calls:all", "look:all", calls=calls)
    owners = ran.phases["all"].owners()
    assert {call: len(found) for call, found in owners.items()} == dict.fromkeys(calls, 1)
    assert owners["messages"] == [OURS]
    # OpenInference and Logfire wrap a method below the one that was wrapped again.
    buried = run.vendor in {"official", "openllmetry"}
    assert (owners["chat"] == [OURS]) is not buried
    assert any("cannot be taken off" in line for line in ran.warnings()) is buried
    assert any(state == "active" for _, state, _ in ran.reports["all"]) is buried


def test_a_call_is_told_once_through_an_accessor_from_before(run):
    ran = run("theirs", "cache", "ours", "calls:all", calls=["chat raw", "chat streaming response", "chat"])
    owners = ran.phases["all"].owners()
    assert {call: len(found) for call, found in owners.items()} == dict.fromkeys(owners, 1)
    assert owners["chat"] == [OURS]
