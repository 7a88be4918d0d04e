# SPDX-License-Identifier: Apache-2.0
"""A command's arguments leave without what a flag, an assignment or a header names as a secret."""

from __future__ import annotations

import pytest

from otel_agent_instrumentation.redaction.argv import redact_argv, redact_line
from otel_agent_instrumentation.redaction.policy import default_policy

SECRET = "hunter2-canary"
KEY = "sk-" + "ant-api03-" + "a1B2c3D4" * 6
# One of each kind of name that says so: a value that looks like nothing goes by its flag alone.
NAMES = (
    *("password", "passphrase", "pwd", "secret", "token", "api-key", "proxy-auth", "authorization", "cookie"),
    *("credentials", "bearer", "jwt", "sas-url", "connection-string", "otp", "mfa-code", "ssn"),
    *("social-security-number", "card-number", "cvv", "cvc", "iban", "passport-number"),
)


def told(*argv: str) -> tuple[list[str], list[int]]:
    return redact_argv(argv[0], argv[1:], default_policy())


@pytest.mark.parametrize(
    "argv",
    [
        ("deploy", "--password", SECRET),
        ("deploy", "--verbose", "--api-key", SECRET, "now"),
        ("deploy", f"--token={SECRET}"),
        ("env", f"DB_PASSWORD={SECRET}", "make"),
        ("curl", "-H", f"X-Api-Key: {SECRET}", "https://h/"),
        ("curl", "-H", f"Authorization: Basic {SECRET}", "https://h/"),
        ("curl", "-u", f"me:{SECRET}", "https://h/"),
        ("curl", f"https://me:{SECRET}@h/x"),
        ("curl", f"https://h/x?access_token={SECRET}&a=1"),
        *(("curl", flag, f"me:{SECRET}") for flag in ("--user", "-U", "--proxy-user")),
        ("curl", "-H", f"Authorization: -Custom {SECRET}"),
        ("curl", "-H", f"Cookie: a=1; b={SECRET}"),
        *((program, f"-p{SECRET}", "db") for program in ("mysql", "mysqldump", "mysqladmin", "mariadb")),
        ("sshpass", "-p", SECRET, "ssh", "h"),
        ("bash", "-c", f"export API_TOKEN={SECRET}; make"),
        ("bash", "-c", f'tool --verbose --client-secret "{SECRET} and more" x'),
        ("bash", "-c", f'tool --secret "a \\" {SECRET}" x'),
        ("bash", "-c", f"tool --PASSWORD {SECRET}"),
        *(("tool", f"--{name}", SECRET) for name in NAMES),
    ],
    ids=lambda argv: " ".join(argv)[:40],
)
def test_a_named_secret_goes(argv):
    words, changed = told(*argv)
    assert SECRET not in " ".join(words)
    assert [index for index, word in enumerate(argv[1:]) if SECRET in word] == changed
    assert redact_argv(argv[0], words, default_policy())[0] == words


@pytest.mark.parametrize(
    "argv",
    [
        ("git", "commit", "-m", "password reset: the page"),
        ("pytest", "-k", "token or key", "--max-tokens", "5"),
        ("grep", "-rn", "api_key", "src"),
        ("ls", "-p", "folder"),
        ("make", "CC=gcc", "-j8"),
        ("deploy", "--password", "--dry-run"),
        ("bash", "-c", "deploy --password --dry-run"),
        ("bash", "-c", "read page--password first"),
        ("curl", "-u", "me", "https://h/"),
        ("mkdir", "-p", "folder", "--token-file", "x"),
        ("cp", "-pr", "folder", "--token-file", "x"),
        ("tool", "-H=--token", "x"),
    ],
    ids=" ".join,
)
def test_what_names_no_secret_stays(argv):
    assert told(*argv) == (list(argv[1:]), [])


def test_a_line_keeps_all_but_the_value():
    assert redact_line(f"A=1 SECRET_KEY='{SECRET}' run --token {SECRET}; echo done") == (
        "A=1 SECRET_KEY=REDACTED run --token REDACTED; echo done"
    )
    assert redact_line(f"A_TOKEN=--password={SECRET} x") == "A_TOKEN=REDACTED x"
    assert told("curl", "-u", f"me:{SECRET}") == (["-u", "me:REDACTED"], [1])


def test_each_argument_passes_the_policy_whatever_its_neighbours_name():
    assert told("tool", "--token", "x", f"see {KEY}") == (["--token", "REDACTED", "see REDACTED"], [1, 2])


def test_a_huge_argument_is_cut_before_it_is_read():
    words, _ = told("tool", "x" * 1_000_000)
    assert len(words[0]) == 8192
