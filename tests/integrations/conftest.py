# SPDX-License-Identifier: Apache-2.0
"""The kit asserts: pytest is to say what was compared."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "otel_agent_instrumentation.testing.kit", "otel_agent_instrumentation.testing.kit_subject"
)
