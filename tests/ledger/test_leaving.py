# SPDX-License-Identifier: Apache-2.0
"""A line on its way out of the machine: what stands beside its payload is redacted, its ids and times are not."""

from __future__ import annotations

import json
from typing import Any

from ledger_lines import line
from otel_agent_instrumentation.ledger.leaving import leaving
from otel_agent_instrumentation.redaction.policy import default_policy

SECRET = "sk-" + "ant-api03-" + "a1B2c3D4" * 6
CARD = 4111111111111111
# Each would be a card's number anywhere else.
OURS: dict[str, Any] = {"run_id": str(CARD), "span_id": str(CARD), "trace_id": f"{CARD}" * 2, "seq": CARD}


def left(given: dict[str, Any]) -> dict[str, Any]:
    told = leaving(json.dumps(given).encode(), default_policy())
    assert told is not None
    return json.loads(told)


def test_the_envelope_keeps_its_ids():
    given = line("said", {}, **OURS)
    assert left(given) == given


def test_the_texts_of_the_envelope_are_redacted():
    told = left(line(SECRET, {}, source=f"me {SECRET}", tags={"password": "hunter2", "n": [SECRET]}))
    assert (told["source"], told["event"]) == ("me REDACTED", "REDACTED")
    assert told["tags"] == {"password": "REDACTED", "n": ["REDACTED"]}


def test_what_somebody_added_is_redacted_like_a_payload():
    added = {"password": "hunter2", "api_key": "0af7651916cd43dd8448eb211c80319c", "card": str(CARD), "count": 5}
    told = left(line("said", {}) | added | {"note": [[SECRET]], SECRET: 1})
    clean = {**dict.fromkeys(("password", "api_key", "card"), "REDACTED"), "count": 5}
    assert SECRET not in json.dumps(told)
    assert told == line("said", {}) | clean | {"note": [["REDACTED"]], "REDACTED": 1}
