# SPDX-License-Identifier: Apache-2.0
"""What a decorated review reads from the findings that are returned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import otel_agent_instrumentation as agent
from otel_agent_instrumentation.testing.capture import capture

if TYPE_CHECKING:
    from otel_agent_instrumentation.testing.capture import Captured


def payloads(captured: Captured, event: str) -> list[dict[str, Any]]:
    return [line.payload for line in captured.lines() if line.event == event]


class Findings(NamedTuple):
    decision: str
    comments: str
    confidence_delta: float = 0.5
    private: str = "not told"


@dataclass
class Verdict:
    decision: str


@pytest.mark.parametrize(
    ("returned", "feedback", "decisions"),
    [
        (
            Findings("revise", "too long"),
            [{"confidence_delta": 0.5, "comments": ["too long"], "blocking_issues": []}],
            ["revise"],
        ),
        (
            {"decision": "abort", "blocking_issues": ["no tests"], "else": 1},
            [{"confidence_delta": None, "comments": [], "blocking_issues": ["no tests"]}],
            ["abort"],
        ),
        (Verdict("accept"), [], ["accept"]),
        (Verdict("perhaps"), [], []),
        ({"comments": "no verdict"}, [], []),
        (("accept", "a plain pair"), [], []),
        (object(), [], []),
    ],
)
def test_a_review_takes_the_findings_that_are_returned(
    returned: object, feedback: list[Any], decisions: list[str]
) -> None:
    @agent.review()
    def judge() -> object:
        return returned

    with capture() as captured:
        with agent.run("coder"):
            assert judge() is returned
        told = payloads(captured, "review.feedback_generated")
        assert [{key: one[key] for key in one if key != "redacted_fields"} for one in told] == feedback
        assert [one["decision"] for one in payloads(captured, "review.decision")] == decisions
