# SPDX-License-Identifier: Apache-2.0
"""Logfire instruments clients one by one as well, and makes the process's providers itself."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.neighbours, pytest.mark.timeout(240)]

OURS = "otel_agent_instrumentation"


@pytest.mark.parametrize("order", [("theirs on clients", "ours"), ("ours", "theirs on clients")])
def test_clients_instrumented_one_by_one_are_ours_until_uninstrument(run, before, order):
    ran = run(*order, "calls:both", "theirs off", "calls:left", "ours off", "look:off", "calls:off")
    for name in ("both", "left"):
        assert ran.phases[name].owners() == {call: [OURS] for call in before["nobody"].results}
        assert ran.phases[name].tokens == {OURS: before["nobody"].served()}
    assert ran.phases["off"].results == before["nobody"].results
    assert not any("logfire" in scope for spans in ran.phases["off"].spans.values() for scope, _, _ in spans)
    assert len(ran.warnings()) == (1 if order[1] == "ours" else 2)


def test_its_providers_are_taken_for_set_and_are_guarded(run):
    ran = run("ours", "calls:all", calls=["chat"])
    assert ran.phases["all"].owners() == {"chat": [OURS]}
    assert "Overriding" not in ran.stderr
    assert "guard" not in ran.stderr
