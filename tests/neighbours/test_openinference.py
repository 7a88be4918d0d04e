# SPDX-License-Identifier: Apache-2.0
"""OpenInference's way of switching tracing off, and what its `uninstrument()` leaves on the client."""

from __future__ import annotations

import importlib
from typing import Any

import openai
import pytest

from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import Provider

pytestmark = pytest.mark.neighbours

SAY: Any = [{"role": "user", "content": "hello"}]


def test_its_suppress_tracing_switches_ours_off_too():
    theirs: Any = importlib.import_module("openinference.instrumentation")
    with Provider() as provider, capture() as captured:
        client = openai.OpenAI(base_url=provider.url + "/v1", api_key="k")
        with theirs.suppress_tracing():
            client.chat.completions.create(model="gpt-4o-mini", messages=SAY)
        assert captured.calls() == []
        client.chat.completions.create(model="gpt-4o-mini", messages=SAY)
        assert len(captured.calls()) == 1
        client.close()


@pytest.mark.logs
def test_the_method_that_its_uninstrument_leaves_in_the_subclass_does_not_hide_ours():
    theirs: Any = importlib.import_module("openinference.instrumentation.openai")
    theirs.OpenAIInstrumentor().instrument()
    with capture():
        assert "request" not in vars(openai.OpenAI)
    assert "request" not in vars(openai.OpenAI)
