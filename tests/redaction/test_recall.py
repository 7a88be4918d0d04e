# SPDX-License-Identifier: Apache-2.0
"""Recall: made-up secrets of every rule in ten surroundings, found by both engines alike."""

from __future__ import annotations

import random
from collections import Counter

import pytest

import planted
from otel_agent_instrumentation.redaction import keys
from otel_agent_instrumentation.redaction.matcher import Matcher
from otel_agent_instrumentation.redaction.rules import KEY, build, built_in
from otel_agent_instrumentation.redaction.screen import OF_IDS

ROUNDS = 4
OFF = ("ipv4", "mac", "phone-us", "phone-uk", "phone-fr", "phone-de")
RULES = build((), OFF, ())
ENGINES = {"re2": Matcher(RULES), "re": Matcher(RULES, fast_after=None)}
# What cannot stand in a URL unescaped: spaces, line breaks, a text with its name.
NOT_IN_A_URL = {"private key", *planted.PII, *planted.KEYED}
OF_MORE_RULES = (
    "Authorization: Token abc123",
    "10.20.30.40",
    "00:1b:44:11:3a:b7",
    *("(212) 555-0143", "020 7946 0958", "01 99 00 12 34", "030 23125 012"),
    "https://" + "gh0aB1cD2eF3gH4iJ5kL6@example.org/x.git",
)


def corpus() -> list[tuple[str, str, str, str]]:
    """Kind, surroundings, text, and the part of it that must not be left."""
    found: list[tuple[str, str, str, str]] = []
    for group in (planted.SECRETS, planted.PII, planted.KEYED):
        for kind, make in group.items():
            for context in planted.CONTEXTS:
                if context == "url" and kind in NOT_IN_A_URL:
                    continue
                for number in range(ROUNDS):
                    value = make(random.Random(f"{kind} {context} {number}"))  # noqa: S311 - made up
                    secret = planted.secret_of(kind, value) if kind in planted.KEYED else value
                    line = secret.split("\n")[1] if kind == "private key" else secret
                    found.append((kind, context, planted.place(context, value), line))
    return found


CORPUS = corpus()


def test_re2_is_what_is_tested():
    assert {name: matcher.warm() for name, matcher in ENGINES.items()} == {"re2": "re2", "re": "re"}


def test_the_planted_kinds_hold_what_they_say():
    assert len(planted.SECRETS) + len(planted.KEYED) >= 90
    assert all(secret in text for _, context, text, secret in CORPUS if context != "escaped")


@pytest.mark.parametrize(("engine", "least", "least_in_one"), [("re2", 0.99, 0.97), ("re", 0.97, 0.93)])
def test_recall(engine, least, least_in_one):
    missed: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for kind, context, text, secret in CORPUS:
        left = text
        for hit in reversed(ENGINES[engine].find(text, keys.judge)):
            left = left[: hit.start] + left[hit.end :]
        if secret in left:
            missed[context] += 1
            kinds[kind] += 1
    whole = Counter(context for _, context, _, _ in CORPUS)
    assert 1 - sum(missed.values()) / len(CORPUS) >= least, kinds
    assert {context: kinds for context in missed if 1 - missed[context] / whole[context] < least_in_one} == {}


def test_equal_findings():
    for _, _, text, _ in CORPUS:
        assert ENGINES["re2"].find(text, keys.judge) == ENGINES["re"].find(text, keys.judge), text


PIECES = [
    "1",
    "23",
    "456",
    "7890",
    "4111111111111111",
    "86095742719",
    " ",
    "-",
    ".",
    ",",
    "A",
    "BC",
    "x",
    "\\n",
    "%20",
    "+",
]


def test_equal_findings_among_numbers():
    """RE2 says where the rules for numbers look; the other engine looks everywhere."""
    source = random.Random(7)  # noqa: S311 - made up
    makes = [*planted.PII.values()]
    found = 0
    for _ in range(1500):
        text = "".join(
            source.choice(makes)(source) if source.random() < 0.05 else source.choice(PIECES) for _ in range(60)
        )
        hits = ENGINES["re2"].find(text, keys.judge)
        assert hits == ENGINES["re"].find(text, keys.judge), text
        found += len(hits)
    assert found > 1000


def test_no_token_of_a_rule_could_be_an_id():
    """What the engine without RE2 leaves out of its tokens cannot hold one of these."""
    rules = [rule for rule in RULES if rule.row.run]
    assert len(rules) > 50
    for rule in rules:
        told = rule.starts if rule.id != "discord-bot" else (rule.row.pattern[:5].encode(),)
        assert all(literal.translate(None, OF_IDS) for literal in told), rule.id


def test_every_rule_has_an_instance():
    found = {hit.rule for _, _, text, _ in CORPUS for hit in ENGINES["re2"].find(text, keys.judge)}
    found |= {hit.rule for text in OF_MORE_RULES for hit in ENGINES["re"].find(f"see {text} now", keys.judge)}
    assert {row.id for row in built_in()} | {KEY} == found


def test_every_rule_names_its_source():
    rows = built_in()
    assert all(row.source.startswith("https://") for row in rows)
    assert len({row.id for row in rows}) == len(rows)
    assert [row.id for row in rows if not row.on] == list(OFF)
