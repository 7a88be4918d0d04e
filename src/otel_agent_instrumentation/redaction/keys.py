# SPDX-License-Identifier: Apache-2.0
"""Key rules: does the name of a field say that its value is a secret?

A name is judged by its last dotted segments, after camelCase, kebab-case and snake_case were made one, and
anchored at the end: ``aws.secretAccessKey`` is a secret, ``gen_ai.usage.input_tokens``, ``token_count`` and
``secret_name`` are not. The sources are the header and assignment rows of the project's table of secret formats.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Decision(NamedTuple):
    """What to do with the value of one key."""

    secret: bool
    """The value is replaced, whatever it is."""
    keep_numbers: bool = False
    """Numbers stay although the key is secret: a number under ``token`` is a count."""
    name: str | None = None
    """The key's redacted name, where the name itself held a secret."""


PLAIN: Final = Decision(secret=False)
SECRET: Final = Decision(secret=True)
TOKEN: Final = Decision(secret=True, keep_numbers=True)
ID: Final = Decision(secret=False, keep_numbers=True)
"""An id of OTel's: what has the form of one is passed on unseen."""

_LONGEST_KEY = 256

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATORS = re.compile(r"[^a-z0-9]+")
# A flattened list, a numbered field, a part of a field: `headers.authorization.0`, `password_2`, `api_key.value`.
_TRAILING = "0123456789._-[]"
_PARTS = ("value", "raw", "plaintext", "header")

_KINDS = (
    "api|access|secret|private|signing|encryption|encrypt|master|account|shared|subscription|session|auth|service|ssh"
    "|app|application|client|consumer|storage|hmac|aes|license|admin|deploy|webhook"
)
_PASSWORD = "pass(?:word|wd|phrase|code)"  # noqa: S105 - a pattern
_SECRET = re.compile(
    r"(?:^|_)(?:"
    rf"{_PASSWORD}s?|{_PASSWORD}_(?:hash|salt|confirm|confirmation)|pwd"
    r"|secrets?|credentials?|bearer|jwt|authorization|set_cookie2?|cookies?"
    r"|(?:auth|access|refresh|bearer|session)_tokens"
    rf"|(?:{_KINDS})_keys?|private_key_id"
    r"|apikeys?|connection_string|sas_url|(?:basic|http|proxy)_auth|otp|mfa_code"
    r"|ssn|social_security_number|card_number|cvv2?|cvc2?|iban|passport_number"
    r")$"
)
# Names that were run together, which camelCase splitting cannot see: `pgpassword`, `authtoken`.
_RUN_TOGETHER = re.compile(
    r"(?:password|passwd|passphrase|apikey|accesskey|secretkey|privatekey|accountkey|clientsecret"
    r"|authtoken|accesstoken|refreshtoken|sessiontoken|bearertoken|connectionstring|cardnumber)s?$"
)
_TOKEN = re.compile(r"(?:^|_)token$")
# A tokenizer's tokens and rates per token.
_NOT_A_CREDENTIAL = re.compile(
    r"(?:^|_)(?:eos|bos|pad|unk|sep|cls|mask|stop|special|first|last|per|max|min|total"
    r"|input|output|prompt|completion|reasoning|cached)_token$"
)

_EXEMPT_PREFIXES = ("gen_ai.usage.", "gen_ai.token.", "agent.tokens.")
_EXEMPT_SUFFIXES = ("max_tokens", "_tokens_count", "token_count")
_IDS = frozenset({"trace_id", "span_id", "parent_id", "parent_span_id"})
_EXEMPT = frozenset(
    {
        "session.id",
        "gen_ai.conversation.id",
        "gen_ai.response.id",
        "service.instance.id",
        # The envelope's own keys, as they stand in a ledger line.
        *("trace_state", "trace_flags"),
        *("schema_version", "timestamp", "source", "run_id", "cycle", "event", "seq", "pid", "time_unix_nano", "unix"),
        *("task_id", "persona_id", "session_id", "redacted_fields"),
    }
)


# What a secret's name looks like within a text: wider than `judge`, which decides. Without look-arounds, for RE2 too.
IN_TEXT: Final = (
    r"pass(?:word|wd|phrase|code)|pwd|secret|credential|bearer|jwt|authorization|cookie"
    rf"|(?:{_KINDS})[_. -]?key|connection[_. -]?string|sas[_. -]?url|(?:basic|http|proxy)[_.-]?auth|otp|mfa[_.-]?code"
    r"|token|ssn|social[_. -]?security[_. -]?number|card[_. -]?number|cvv|cvc|iban|passport[_. -]?number"
)
TAIL: Final = r"(?:_?(?:id|s|hash|salt|confirm|confirmation|value|raw|plaintext|header))?[0-9._\[\]-]*"
"""What may follow within the name."""


def judge(key: str) -> Decision:
    """Return the decision for ``key``, by its name alone."""
    if key in _IDS:
        return ID
    if key in _EXEMPT or key.startswith(_EXEMPT_PREFIXES) or key.endswith(_EXEMPT_SUFFIXES):
        return PLAIN
    bare = key[-_LONGEST_KEY:].rstrip(_TRAILING)
    for part in _PARTS:
        if bare.endswith(part) and bare != part:
            bare = bare[: -len(part)].rstrip(_TRAILING)
    # Two segments, as `api.key` is an API key; the patterns are anchored at the end.
    last = "_".join(bare.split(".")[-2:])
    name = _SEPARATORS.sub("_", _CAMEL.sub("_", last).lower()).strip("_")
    if _SECRET.search(name) or _RUN_TOGETHER.search(name):
        return SECRET
    if _TOKEN.search(name) and not _NOT_A_CREDENTIAL.search(name):
        return TOKEN
    return PLAIN


def judge_none(key: str) -> Decision:
    """Return the decision for ``key`` where the rules for names are switched off."""
    return ID if key in _IDS else PLAIN


def judge_with(secret: Sequence[str], plain: Sequence[str]) -> Callable[[str], Decision]:
    """Return `judge` with the user's own names: ``secret`` and ``plain`` ones, whole or as the last segments."""
    if not secret and not plain:
        return judge
    told, spared = ({_normal(name) for name in names} for names in (secret, plain))

    def decide(key: str) -> Decision:
        name = _normal(key[-_LONGEST_KEY:])
        last = name.rpartition(".")[2]
        if name in spared or last in spared:
            return PLAIN
        return SECRET if name in told or last in told else judge(key)

    return decide


def _normal(name: str) -> str:
    return ".".join(_SEPARATORS.sub("_", _CAMEL.sub("_", part).lower()).strip("_") for part in name.split("."))
