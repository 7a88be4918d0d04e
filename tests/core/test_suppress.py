# SPDX-License-Identifier: Apache-2.0
"""The keys by which others say that a call is not to be told, or is told by them."""

from __future__ import annotations

import pytest
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import suppress_http_instrumentation, suppress_instrumentation

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.core.suppress import suppress, suppressed, told_above


def test_ours_and_otels_blocks_suppress_and_end():
    for block in (suppress, suppress_instrumentation):
        with block():
            assert suppressed(otel_context.get_current())
        assert not suppressed(otel_context.get_current())


def test_suppressing_http_does_not_suppress_a_model_call():
    with suppress_http_instrumentation():
        assert not suppressed(otel_context.get_current())


@pytest.mark.parametrize(
    "key",
    ["suppress_instrumentation", "suppress_language_model_instrumentation", otel_context._SUPPRESS_INSTRUMENTATION_KEY],
)
def test_each_key_alone_suppresses(key):
    assert suppressed(otel_context.set_value(key, value=True, context=Context()))
    assert not suppressed(otel_context.set_value(key, value=False, context=Context()))


@pytest.mark.parametrize(
    ("key", "operations"),
    [
        ("opentelemetry.genai.client.inference.context", {semconv.CHAT, semconv.TEXT_COMPLETION}),
        ("opentelemetry.genai.client.embedding.context", {semconv.EMBEDDINGS}),
        ("opentelemetry.genai.client.fetch_response.context", {semconv.FETCH_RESPONSE}),
        ("opentelemetry.genai.client.retrieval.context", set()),
    ],
)
def test_an_open_invocation_tells_its_own_kind_of_call(key, operations):
    context = otel_context.set_value(key, object(), Context())
    known = {semconv.CHAT, semconv.TEXT_COMPLETION, semconv.EMBEDDINGS, semconv.FETCH_RESPONSE, "rerank"}
    assert {operation for operation in known if told_above(context, operation)} == operations
    assert not any(told_above(Context(), operation) for operation in known)
