# SPDX-License-Identifier: Apache-2.0
"""A command's arguments leave without what a flag, an assignment or a header names as a secret."""

from __future__ import annotations

import pytest

from otel_agent_instrumentation.redaction.argv import redact_argv, redact_line
from otel_agent_instrumentation.redaction.policy import default_policy

SECRET = "hunter2-canary"


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
        ("mysql", f"-p{SECRET}", "db"),
        ("sshpass", "-p", SECRET, "ssh", "h"),
        ("bash", "-c", f"export API_TOKEN={SECRET}; make"),
        ("bash", "-c", f'tool --verbose --client-secret "{SECRET} and more" x'),
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
    ],
    ids=" ".join,
)
def test_what_names_no_secret_stays(argv):
    assert told(*argv) == (list(argv[1:]), [])


def test_a_line_keeps_all_but_the_value():
    assert redact_line(f"A=1 SECRET_KEY='{SECRET}' run --token {SECRET}; echo done") == (
        "A=1 SECRET_KEY=REDACTED run --token REDACTED; echo done"
    )


def test_a_huge_argument_is_cut_before_it_is_read():
    words, _ = told("tool", "x" * 1_000_000)
    assert len(words[0]) == 8192
