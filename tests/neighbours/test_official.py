# SPDX-License-Identifier: Apache-2.0
"""What `opentelemetry-util-genai` tells from above is left to it, for the same kind of operation."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from openai import OpenAI

from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import Provider

pytestmark = pytest.mark.neighbours

SAY: Any = [{"role": "user", "content": "hello"}]


def test_a_call_inside_an_open_invocation_is_told_by_it():
    with Provider() as provider, capture() as captured:
        client = OpenAI(base_url=provider.url + "/v1", api_key="k")
        genai: Any = importlib.import_module("opentelemetry.util.genai.handler")
        handler = genai.TelemetryHandler(tracer_provider=captured.tracer_provider)
        with handler.inference("openai", request_model="gpt-4o-mini"):
            client.chat.completions.create(model="gpt-4o-mini", messages=SAY)
            client.embeddings.create(model="text-embedding-3-small", input="hello")
        client.chat.completions.create(model="gpt-4o-mini", messages=SAY)
        spans: list[Any] = captured.calls()
        scopes = [(span.instrumentation_scope.name.partition(".")[0], span.name) for span in spans]
        client.close()
    assert scopes == [
        ("otel_agent_instrumentation", "embeddings text-embedding-3-small"),
        ("opentelemetry", "chat gpt-4o-mini"),
        ("otel_agent_instrumentation", "chat gpt-4o-mini"),
    ]
