# SPDX-License-Identifier: Apache-2.0
"""The user's request leaves as the client made it, and what comes back is what the client makes of it (E5, A3)."""

from __future__ import annotations

import harm
import pytest

from otel_agent_instrumentation.testing.capture import capture

pytestmark = pytest.mark.matrix


@pytest.fixture
def lab():
    with harm.Lab() as lab:
        yield lab


@pytest.mark.parametrize("client", harm.CLIENTS)
def test_every_use_of_a_client_is_the_same_with_and_without_us(lab, client):
    scenarios = harm.SCENARIOS[client]
    before = {str(scenario): lab.run(scenario) for scenario in scenarios}
    with capture():
        during = {str(scenario): lab.run(scenario) for scenario in scenarios}
    after = {str(scenario): lab.run(scenario) for scenario in scenarios}
    assert [key for key, outcome in before.items() if not outcome.wire] == []
    assert during == before
    assert after == before
