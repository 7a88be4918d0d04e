# SPDX-License-Identifier: Apache-2.0
"""OpenLLMetry's `uninstrument()` finds nothing of what it wrapped on openai."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from openai.resources.chat.completions import Completions

from otel_agent_instrumentation.integrations import _neighbours
from otel_agent_instrumentation.testing.capture import capture

pytestmark = pytest.mark.neighbours


@pytest.mark.logs
@pytest.mark.filterwarnings("ignore:Support for class-based:DeprecationWarning")  # at the import of theirs
def test_its_wrappers_are_taken_off_where_its_uninstrument_leaves_them():
    theirs: Any = importlib.import_module("opentelemetry.instrumentation.openai")
    original = vars(Completions)["create"]
    theirs.OpenAIInstrumentor().instrument()
    theirs.OpenAIInstrumentor().uninstrument()
    assert vars(Completions)["create"] is not original, "their uninstrument works now: what we do about it can go"
    with capture():
        assert vars(Completions)["create"] is original
        assert [it.state for it in _neighbours.report() if it.neighbour.client == "openai"] == ["taken off"]
    assert vars(Completions)["create"] is original
