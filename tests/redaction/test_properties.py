# SPDX-License-Identifier: Apache-2.0
"""Properties of the policy, over generated values: idempotent, JSON stays JSON, no nesting hides a planted secret."""

from __future__ import annotations

import base64
import json
import random
import urllib.parse
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import planted
from otel_agent_instrumentation.config import Redaction, Settings
from otel_agent_instrumentation.redaction.policy import ERROR, Policy

ENGINES = {engine: Policy(settings=Settings(redaction_engine=engine)) for engine in ("auto", "re")}
MODES = {
    "literal": ENGINES["auto"],
    "hash": Policy(settings=Settings(redaction_mode="hash", redaction_key="of a test")),
    "drop": Policy(settings=Settings(redaction_mode="drop")),
    "mixed": Policy(settings=Settings(redaction=Redaction(modes={"pii": "drop", "key": "hash"}), redaction_key="x")),
}
# Some forms need a line of their own, or a form that an encoding takes away.
NESTED = sorted(set(planted.SECRETS) - {"private key"})
EXAMPLES = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

pieces = st.sampled_from(
    ['"', "'", "\\", '":', "':", "password", "api_key", "token", "{", "[", "}", "]", "=", "&", "?", "sk-", "eyJ", ".",
     "://", "@", ":", "Bearer ", "a" * 20, "1" * 20, " ", "-----BEGIN ", "PRIVATE KEY-----", "REDACTED", "REDACTED:",
     "Basic ", "uthorization: ", "\n", "é", "密", "+49 ", "4111 1111 1111 1111", "a.b@c.de", "--password ", "<", ">"]
)  # fmt: skip
texts = st.lists(pieces | st.text(max_size=8), max_size=30).map("".join)
secrets = st.builds(
    lambda kind, seed: planted.SECRETS[kind](random.Random(seed)),  # noqa: S311 - made up
    st.sampled_from(NESTED),
    st.integers(0, 2**16),
)
names = st.sampled_from(["a", "text", "password", "apiKey", "content", "max_tokens", "headers", "Authorization", "x y"])
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=12
)


@pytest.mark.parametrize("mode", MODES)
@EXAMPLES
@given(texts)
def test_redacting_twice_equals_once(mode, text):
    policy = MODES[mode]
    once = policy.text(text)
    assert policy.text(once) == once
    if once != ERROR:
        assert Policy(settings=Settings()).hits(once) == [] or mode == "hash"


@pytest.mark.parametrize("mode", MODES)
@EXAMPLES
@given(values)
def test_redacting_a_structure_twice_equals_once(mode, value):
    once, _ = MODES[mode].payload(value)
    again, paths = MODES[mode].payload(once)
    assert again == once
    assert paths == []


@pytest.mark.parametrize("mode", MODES)
@EXAMPLES
@given(values, st.sampled_from([None, 2]), st.integers(0, 2))
def test_valid_json_stays_valid(mode, value, indent, depth):
    text = json.dumps(value, indent=indent)
    for _ in range(depth):
        text = json.dumps({"arguments": text}, ensure_ascii=False)
    redacted = MODES[mode].text(text)
    if redacted != ERROR:
        json.loads(redacted)


def nest(step: str, text: str) -> Any:
    return {
        "json": lambda: json.dumps({"text": text, "n": 1}),
        "spoken": lambda: f"please look at {text}, it is odd",
        "repr": lambda: repr({"value": text}),
        "url": lambda: "https://example.org/?q=" + urllib.parse.quote(text, safe=""),
        "base64": lambda: "data:text/plain;base64," + base64.b64encode(f"see {text} ".encode()).decode(),
        "form": lambda: f'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\n{text}\r\n--b--',
        "log": lambda: f"2026-11-25 10:00:00 INFO tool returned\n{text}\n",
    }[step]()


@pytest.mark.parametrize("engine", ENGINES)
@EXAMPLES
@given(secrets, st.lists(st.sampled_from(["json", "spoken", "repr", "base64", "form", "log"]), max_size=3))
def test_no_nesting_hides_a_secret(engine, secret, steps):
    text = secret
    for step in steps:
        text = nest(step, text)
    redacted = ENGINES[engine].text(text)
    assert redacted != text
    assert secret not in redacted
    assert base64.b64encode(secret.encode()).decode()[4:-8] not in redacted


@pytest.mark.parametrize("engine", ENGINES)
@EXAMPLES
@given(
    secrets,
    st.recursive(
        st.just("HERE"),
        lambda inner: st.lists(inner, min_size=1, max_size=2) | st.dictionaries(names, inner, min_size=1, max_size=2),
        max_leaves=6,
    ),
)
def test_no_structure_hides_a_secret(engine, secret, shape):
    value = json.loads(json.dumps(shape).replace("HERE", "say " + json.dumps(secret)[1:-1]))
    redacted, paths = ENGINES[engine].payload(value)
    assert secret not in json.dumps(redacted)
    assert paths


@pytest.mark.parametrize("engine", ENGINES)
@EXAMPLES
@given(secrets, st.integers(0, 30_000))
def test_no_length_hides_a_secret(engine, secret, at):
    ids = " ".join(f"{number:032x}" for number in range(1000))
    for hidden in (secret, base64.b64encode(f"see {secret} ".encode()).decode()):
        redacted = ENGINES[engine].text(f"{ids[:at]} {hidden} {ids[at:]}")
        assert hidden not in redacted
