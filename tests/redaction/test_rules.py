# SPDX-License-Identifier: Apache-2.0
"""The built-in value rules: what they find, in which surroundings, what they leave alone; that no text is slow."""

from __future__ import annotations

import base64
import json
import time
import uuid

import pytest

from otel_agent_instrumentation.config import Settings
from otel_agent_instrumentation.redaction.policy import Policy

AN = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8c9D0e1F2g3H4i5J6"
# Put together here, so that no scanner of this repository takes them for real.
SECRETS = {
    "openai": "sk-" + AN[:20] + "T3BlbkFJ" + AN[20:40],
    "openai project": "sk-" + "proj-" + AN + "_" + AN,
    "anthropic": "sk-" + "ant-api03-" + AN[:60] + "-_" + AN[:30] + "AA",
    "openrouter": "sk-" + "or-v1-" + "0123456789abcdef" * 4,
    "deepseek": "sk-" + "0123456789abcdef" * 2,
    "aws": "AKIA" + "ABCDEFGH23456723",
    "aws temporary": "ASIA" + "ABCDEFGH23456723",
    "github": "ghp_" + AN[:36],
    "github app": "ghs_" + AN[:36],
    "github fine-grained": "github_pat_" + AN[:22] + "_" + AN[:59],
    "slack": "xox" + "b-123456789012-1234567890123-" + AN[:24],
    "google": "AIza" + AN[:35],
    "groq": "gsk_" + AN[:52],
    "stripe": "sk_live_" + AN[:24],
    "gitlab": "glpat-" + AN[:20],
    "hugging face": "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH",
    "jwt": ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode()
        for part in (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"1234567890","admin":true}', b"0123456789abcdefghij")
    ),
}
CONTEXTS = [
    "{}", '"{}"', "key is {}, ok", "at {}.", "({})", "[{}]", "https://x.y/z?a={}&b=1", '{{\\"k\\": \\"{}\\"}}',
    "a\n{}\nb",    "a\\n{}\\nb", "x-header: {}\r\n", "k='{}'", "url%3D{}", "日本語{}語", "<{}>", "{}",
]  # fmt: skip


POLICY = Policy(settings=Settings())


def scan(text: str) -> str:
    return POLICY.text(text)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("kind", SECRETS)
def test_secret_is_found_in_context(kind, context):
    secret = SECRETS[kind]
    redacted = scan(context.format(secret))
    assert redacted == context.format("REDACTED")
    assert scan(redacted) is redacted


BASIC = base64.b64encode(b"user:pa").decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Authorization: Bearer {AN[:30]}", "Authorization: Bearer REDACTED"),
        (f"bearer\n{AN[:30]}", "bearer\nREDACTED"),
        ("Authorization: Bearer short", "Authorization: Bearer REDACTED"),
        ('{"authorization": "Token abc123"}', '{"authorization": "REDACTED"}'),
        (f"curl -H 'Basic {BASIC}'", "curl -H 'Basic REDACTED'"),
        ("postgresql://joe:hunter2@db/x", "postgresql://joe:REDACTED@db/x"),
        ("redis://:hunter2@db", "redis://:REDACTED@db"),
        ("x a://u:p@ss@h/y b", "x a://u:REDACTED@h/y b"),
    ],
)
def test_credentials_of_headers_and_urls(text, expected):
    assert scan(text) == expected
    assert scan(expected) == expected


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
@pytest.mark.parametrize("cut", [None, 120])
@pytest.mark.parametrize("escaped", [False, True])
def test_private_key_goes_whole_or_cut_off(kind, cut, escaped):
    lines = "\n".join(f"{'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC' + AN[:32]}" for _ in range(8))
    key = f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----"[:cut]
    text = f"before. {key}"
    text = json.dumps({"t": text}) if escaped else text
    redacted = scan(text)
    assert AN[:8] not in redacted
    assert redacted.startswith(("before. REDACTED", '{"t": "before. REDACTED"}'))


@pytest.mark.parametrize(
    "text",
    [
        "a task-force-of-people-and-more-people risk-assessment-0123456789 disk-0123456789abcdef01234",
        "basic understanding of bearer bonds and basic authorization tokens",
        "http://localhost:8080/a@b https://host:443/path?x=a:b@c mailto:a@b.c",
        '{"u":"http://h:80","e":"a@b"}',
        str(uuid.uuid4()),
        "4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7",
        "chatcmpl-BxYz0123456789AbCdEfGhIjKl toolu_01A09q90qw90lq917835lq9 req_011CSHoEeqs5C35K2UUqR7Fy",
        "d41d8cd98f00b204e9800998ecf8427e sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "0.8123456789012345",
        "a_hf_function_name_that_is_long_enough and eyJust.eyJ",
        "grep for '-----BEGIN CERTIFICATE-----'",
        "",
        "\ud800 lone surrogate " * 4,
    ],
)
def test_clean_text_is_the_same_object(text):
    assert scan(text) is text


UNITS = [
    "sk-", "sk-1", "eyJ", "eyJaaaaaaaaa.", "eyJaaaaaaaaa.eyJ", "xoxb-", "ghp_", "://a:", "://a:b@",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\nab-c", "Bearer ", "Bearer+", "Bearer 1a", "basic abcd",
    "Basic abcdefgh ",
    "-", "A", "authorization: Bearer ab", "\\nsk-", "AKIA", "%3DeyJ", "https://u:" + "a" * 49000, "sk-" + "a" * 49000,
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit[:24])
def test_no_text_is_slow(unit):
    for tail in ("", "@", "!"):
        text = (unit * (50_000 // len(unit) + 1))[:50_000] + tail
        # This thread's own time: a machine with other work is no slow text. What is quadratic takes minutes here.
        start = time.thread_time()
        redacted = scan(text)
        assert time.thread_time() - start < 1
        assert scan(redacted) == redacted or scan(scan(redacted)) == scan(redacted)


NATIONAL = {
    "phone-us": ("(212) 555-0143", "212-555-0143", "212.555.0143", "212 555 0143"),
    "phone-uk": ("020 7946 0958", "0117 496 0123", "01632 960123", "07700 900123", "07700900123"),
    "phone-fr": ("01 99 00 12 34", "06.39.98.12.34", "0639981234"),
    "phone-de": ("030 23125 012", "0171/3920012", "089 - 99998012"),
}
NO_NATIONAL = (
    "2024-05-06 07:08:09",
    "v0.12.345",
    "1.555.0143",
    "0123456789abcdef",
    "id 212-555-01439",
    "0.0171 3920012",
)


@pytest.mark.parametrize("rule", NATIONAL)
def test_national_forms_of_telephone_numbers_where_they_are_switched_on(rule):
    policy = Policy(settings=Settings(redaction_on=(rule,)))
    slow = Policy(settings=Settings(redaction_on=(rule,), redaction_engine="re"))
    assert policy.engine() == "re2"
    for number in NATIONAL[rule]:
        for text in (f"call {number}, please", f'{{"n": "{number}"}}', number, f"tel:\n{number}."):
            assert policy.text(text) == slow.text(text) == text.replace(number, "REDACTED")
            assert scan(text) == text
    for text in NO_NATIONAL:
        assert policy.text(text) == text
