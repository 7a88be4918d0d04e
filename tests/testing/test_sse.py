# SPDX-License-Identifier: Apache-2.0
"""Events are cut without losing a byte, whatever ends their lines."""

from __future__ import annotations

import pytest

from otel_agent_instrumentation.testing import sse

STREAM = b': comment\n\nevent: a\r\ndata: {"x":\r\ndata: 1}\r\n\r\ndata: [DONE]\n\ndata: {"tail":true}'


def test_split_keeps_every_byte() -> None:
    parts = sse.split(STREAM)
    assert b"".join(parts) == STREAM
    assert len(parts) == 4


def test_decode_joins_data_lines_and_drops_comments() -> None:
    assert list(sse.decode(STREAM)) == [("a", '{"x":\n1}'), ("", "[DONE]"), ("", '{"tail":true}')]


def test_documents_are_the_json_objects() -> None:
    assert sse.documents(STREAM) == [("a", {"x": 1}), ("", {"tail": True})]


@pytest.mark.parametrize("event", [None, "message_start"])
def test_encode_is_what_decode_reads(event: str | None) -> None:
    assert sse.documents(sse.encode({"é": "\n"}, event=event)) == [(event or "", {"é": "\n"})]
