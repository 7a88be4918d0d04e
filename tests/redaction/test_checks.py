# SPDX-License-Identifier: Apache-2.0
"""Check digits: what has the form of personal data but fails its check stays."""

from __future__ import annotations

import random

import pytest

import planted
from otel_agent_instrumentation.redaction import checks, keys
from otel_agent_instrumentation.redaction.matcher import Matcher
from otel_agent_instrumentation.redaction.rules import build

MATCHER = Matcher(build((), (), ()))
CHECKED = ["card", "iban", "de tax id", "fr nir", "es dni", "it codice fiscale", "br cpf", "in aadhaar"]


@pytest.mark.parametrize("kind", CHECKED)
def test_one_wrong_digit_and_it_stays(kind):
    kept = found = 0
    for seed in range(40):
        source = random.Random(f"{kind} {seed}")  # noqa: S311 - made up
        value = planted.PII[kind](source)
        assert MATCHER.find(f"see {value}.", keys.judge), value
        places = [at for at, character in enumerate(value) if character.isdigit()]
        at = places[len(places) // 2]
        wrong = value[:at] + str((int(value[at]) + 1) % 10) + value[at + 1 :]
        hits = MATCHER.find(f"see {wrong}.", keys.judge)
        kept += not hits
        found += bool(hits)
    # Some checks are short: a digit of a French or Spanish number is one of 97 or 23 remainders, and never the same.
    assert kept >= 36, (kept, found)


@pytest.mark.parametrize(
    ("token", "random_looking"),
    [
        ("a1B2c3D4e5F6g7H8i9J0", True),
        ("0123456789abcdef0123456789abcdef", True),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", True),
        ("my-own-service-name-2", False),
        ("get_password_from_vault2", False),
        ("thisIsACamelCaseIdentifier", False),
        ("short1A", False),
        ("aaaaaaaaaaaaaaaaaaa1", False),
    ],
)
def test_what_a_generator_made(token, random_looking):
    assert checks.looks_random(token.encode()) is random_looking
