# SPDX-License-Identifier: Apache-2.0
"""Key rules inside text: JSON at any depth of escaping, reprs, queries; cut off or not."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest

from otel_agent_instrumentation.redaction.keys import judge
from otel_agent_instrumentation.redaction.matcher import Matcher

DATA = {
    "user": "bob",
    "password": 'hun"ter\\2',
    "n": 1,
    "inner": [{"api_key": "zz"}, {"token": 5}],
    "cookies": ["a]b", 'c"d'],
    "credential": {"a": {"b": "}"}},
    "pwd": 12,
    "secret": None,
    "max_tokens": 100,
    "empty": {"access_token": ""},
}
EXPECTED = {
    **DATA,
    "password": "REDACTED",
    "inner": [{"api_key": "REDACTED"}, {"token": 5}],
    "cookies": "REDACTED",
    "credential": "REDACTED",
    "pwd": "REDACTED",
}


MATCHER = Matcher([])


def redact(text: str) -> str:
    pieces = []
    done = 0
    for hit in MATCHER.find(text, judge):
        pieces += (text[done : hit.start], hit.quote, "REDACTED", hit.quote)
        done = hit.end
    return "".join((*pieces, text[done:])) if pieces else text


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_in_json_stays_json(depth, indent):
    text = json.dumps(DATA, indent=indent)
    for _ in range(depth):
        text = json.dumps({"arguments": text, "k": [1]})
    redacted = redact(text)
    assert redact(redacted) == redacted
    found = json.loads(redacted)
    for _ in range(depth):
        assert found["k"] == [1]
        found = json.loads(found["arguments"])
    assert found == EXPECTED


def test_compact_json():
    assert redact('{"token":"a","x":"b"}') == '{"token":"REDACTED","x":"b"}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{'password': 'a\\'b', 'x': 1}", "{'password': 'REDACTED', 'x': 1}"),
        ("""{'password': "it's", 'x': 1}""", """{'password': "REDACTED", 'x': 1}"""),
        ("{'secret': b'abc', 'x': 1}", "{'secret': 'REDACTED', 'x': 1}"),
        ("{'secret': SecretStr('abc'), 'x': 1}", "{'secret': 'REDACTED'), 'x': 1}"),
        ("{'token': None, 'n': 1}", "{'token': None, 'n': 1}"),
        ("GET /z?key=abc&q=1&access_token=tt", "GET /z?key=REDACTED&q=1&access_token=REDACTED"),
        ("?a=1&X-Amz-Signature=0f0f&b=2", "?a=1&X-Amz-Signature=REDACTED&b=2"),
        ("grant_type=password&client_secret=abc", "grant_type=password&client_secret=REDACTED"),
        ("sorted(a, key=len) if a else b?", "sorted(a, key=len) if a else b?"),
        ("max_tokens=5&page=2", "max_tokens=5&page=2"),
    ],
)
def test_other_notations(text, expected):
    assert redact(text) == expected
    assert redact(expected) == expected


@pytest.mark.parametrize("length", range(10, 100, 7))
def test_text_that_is_cut_off_keeps_nothing(length):
    text = json.dumps({"a": json.dumps({"x": 1, "password": "hunter2-hunter2-hunter2", "y": 2})})[:length]
    assert "hunter" not in redact(text)


@pytest.mark.parametrize(
    "text", ["no fields", 'a "quoted": thing', "{'x': 1}", json.dumps({"text": "token: 5"}), "a=b", ""]
)
def test_clean_text_is_the_same_object(text):
    assert redact(text) is text


UNITS = [
    '":', '"a":', '"password":', '\\":', 'token\\":', '"password":"', '"pwd":[', '"pwd":["', '"pwd":[{', "a=&?",
    "token=&?", "token=x&", "key=", '"password":"\\\\\\', "'pwd':b'", "'pwd':S('", "=", "?=",
    '"' + "k" * 70 + '":', "\\", '"pwd":\\n',
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit[:16])
def test_no_text_is_slow(unit):
    for tail in ("", '"', '"?&'):
        text = (unit * (50_000 // len(unit) + 1))[:50_000] + tail
        start = time.thread_time()  # not what other programs of the machine take
        redact(text)
        assert time.thread_time() - start < 1


def test_random_nestings_hold_no_secret_and_stay_json():
    source = random.Random(5)  # noqa: S311 - no secret is made of it
    for _ in range(300):
        text = json.dumps(_random(source, 4))
        redacted = redact(text)
        assert "hunter2" not in redacted
        assert json.loads(redacted) is not None
        assert redact(redacted) == redacted


def _random(source: random.Random, depth: int) -> dict[str, Any]:
    secrets: list[Any] = ["hunter2", ["hunter2", "]"], {"v": 'hunter2"}'}, 'a"\\hunter2', "\nhunter2'"]
    found: dict[str, Any] = {
        source.choice(["password", "apiKey", "client-secret", "Authorization"]): source.choice(secrets),
        source.choice("abc"): 1,
    }
    if depth:
        inner = _random(source, depth - 1)
        found[source.choice("xyz")] = source.choice(
            [inner, json.dumps(inner), [inner], {"q": json.dumps(inner, indent=1)}]
        )
    return found
