# SPDX-License-Identifier: Apache-2.0
"""The Responses API tells of a failure in its answer, where the client raises nothing: the call failed all the same."""

from __future__ import annotations

from typing import Any

import pytest
from exit_shapes import APIS, HAS_RESPONSES, RESPONSES, Call
from opentelemetry.trace import StatusCode

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.testing import sse
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import cut_by_error, openai_responses, openai_responses_stream

pytestmark = pytest.mark.matrix

CODE = "rate_limit_exceeded"
FAILED: dict[str, Any] = {"status": "failed", "error": {"code": CODE, "message": "No."}}
EVENT = sse.encode(
    {"type": "error", "code": CODE, "message": "No.", "param": None, "sequence_number": 3}, event="error"
)
STREAMS = {"failed": openai_responses_stream(2, **FAILED), "error": cut_by_error(RESPONSES.reply, 3, EVENT)}


@pytest.fixture(autouse=True)
def has_responses():
    if not HAS_RESPONSES:
        pytest.skip("needs: package openai>=1.66")


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("kind", STREAMS)
def test_a_streamed_failure_is_an_error(api, kind, provider):
    provider.reply = STREAMS[kind]
    with capture() as captured, RESPONSES.open(provider.url, is_async=False) as client:
        call = Call(RESPONSES, api, client)
        with call.block() as held:
            assert list(call.items(held))
        span = captured.span()
        found = span.attributes or {}
        assert span.status.status_code is StatusCode.ERROR
        assert (found[semconv.ERROR_TYPE], found[semconv.RESPONSE_ID]) == (CODE, "resp_1")
        assert semconv.STREAM_END not in found


def test_a_whole_failure_is_an_error(provider):
    provider.reply = openai_responses(**FAILED)
    with capture() as captured, RESPONSES.open(provider.url, is_async=False) as client:
        assert client.responses.create(**RESPONSES.arguments).status == "failed"
        span = captured.span()
        assert span.status.status_code is StatusCode.ERROR
        assert (span.attributes or {})[semconv.ERROR_TYPE] == CODE
