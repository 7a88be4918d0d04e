# SPDX-License-Identifier: Apache-2.0
"""The policy: every kind of value, the same object where clean, and nothing passed on where a rule fails."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import random
import threading
import uuid

import msgspec
import pytest

from otel_agent_instrumentation.config import Settings
from otel_agent_instrumentation.core import contain
from otel_agent_instrumentation.redaction.policy import ERROR, Policy, default_policy
from otel_agent_instrumentation.redaction.repeats import Repeats
from otel_agent_instrumentation.redaction.rules import Hit

KEY = "sk-" + "ant-api03-0123456789abcdef0123456789"


@pytest.fixture
def policy():
    return Policy()


CLEAN = {
    "gen_ai.usage.input_tokens": 12,
    "gen_ai.request.max_tokens": 100,
    "session.id": "abc",
    "gen_ai.conversation.id": "conv_0123456789abcdef0123456789",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "uuid": str(uuid.UUID(int=5)),
    "float": 0.123456789012345,
    "list": ["a", ("b", 1)],
    "nested": {"a": {"b": [None, True, b"bytes"]}},
    "token": 5,
    "password": None,
    "secret": "",
    "when": dt.timedelta(1),
}


def test_clean_values_are_the_same_objects(policy):
    assert policy.attributes(CLEAN) is CLEAN
    assert policy.payload(CLEAN) == (CLEAN, [])
    assert policy.payload(CLEAN)[0] is CLEAN
    assert policy.counts() == {}


def test_secret_keys_and_values_at_any_depth(policy):
    raw = {
        "password": "hunter2",
        "headers": {"Authorization": "x", "Accept": "y"},
        "messages": [{"role": "user", "content": f"use {KEY}"}],
        "t": ("a", KEY),
        "b": b"x " + KEY.encode() + b" \xff",
        "credentials": {"user": "a"},
        "pwd": 1234,
    }
    expected = {
        "password": "REDACTED",
        "headers": {"Authorization": "REDACTED", "Accept": "y"},
        "messages": [{"role": "user", "content": "use REDACTED"}],
        "t": ("a", "REDACTED"),
        "b": b"x REDACTED \xff",
        "credentials": "REDACTED",
        "pwd": "REDACTED",
    }
    before = repr(raw)
    redacted, paths = policy.payload(raw)
    assert redacted == expected
    assert paths == [
        "$.b", "$.credentials", "$.headers.Authorization", "$.messages[0].content", "$.password", "$.pwd", "$.t[1]",
    ]  # fmt: skip
    assert repr(raw) == before
    assert policy.attributes(raw) == expected
    assert policy.attributes(redacted) is redacted
    assert policy.payload(redacted) == (redacted, [])


def test_paths_begin_where_the_caller_says(policy):
    assert policy.payload({"a.b": {"pwd": "x"}}, "payload")[1] == ["payload['a.b'].pwd"]


def test_one_value(policy):
    assert policy.value("api_key", "x") == "REDACTED"
    assert policy.value("n", 5) == 5
    assert policy.value("text", f"a {KEY}") == "a REDACTED"


def test_a_secret_in_a_key_leaves_by_no_name(policy):
    assert policy.attributes({f"x {KEY}": 1, "y": 2}) == {"x REDACTED": 1, "y": 2}
    redacted, paths = policy.payload({KEY: "v"})
    assert redacted == {"REDACTED": "v"}
    assert paths == ["$.REDACTED"]


def test_what_was_replaced_is_counted(policy):
    policy.attributes({"password": "x", "a": KEY})
    assert policy.counts() == {("key", "other"): 1, ("anthropic", "other"): 1}


class Point(msgspec.Struct):
    password: str
    x: int


@dataclasses.dataclass
class Login:
    user: str
    token: str


class Odd:
    def __str__(self) -> str:
        return f"odd {KEY}"


def test_objects_become_plain_data(policy):
    raw = {"a": Point("p", 1), "b": Login("u", "t"), "c": {KEY}, "d": Odd(), "e": Login("u", "")}
    redacted, paths = policy.payload(raw)
    assert redacted == {
        "a": {"password": "REDACTED", "x": 1},
        "b": {"user": "u", "token": "REDACTED"},
        "c": ["REDACTED"],
        "d": "odd REDACTED",
        "e": {"user": "u", "token": ""},
    }
    assert paths == ["$.a.password", "$.b.token", "$.c[0]", "$.d"]


def test_strings_of_another_class(policy):
    class Name(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "lies"

    clean = Name("fine")
    assert policy.text(clean) is clean
    assert policy.text(Name(KEY)) == "REDACTED"


def test_a_structure_that_never_ends(policy):
    loop: dict[str, object] = {}
    loop["a"] = [loop]
    redacted, _ = policy.payload(loop)
    assert "REDACTED:depth" in repr(redacted)


@pytest.mark.faults
def test_a_rule_that_raises_takes_the_value_and_not_its_neighbours(caplog):
    def find(text: str, judge: object) -> list[Hit]:
        if "bad" in text:
            raise ValueError(text)
        return []

    policy = Policy(find=find)
    assert policy.attributes({"a": "bad one", "b": "good", "n": 1}) == {"a": ERROR, "b": "good", "n": 1}
    assert policy.text("bad two") == ERROR
    assert policy.payload({"x": ["bad three"], "y": 1}) == ({"x": [ERROR], "y": 1}, ["$.x[0]"])
    assert policy.text(ERROR) is ERROR
    assert policy.counts() == {("error", "other"): 3}
    assert contain.faults() == {"redaction.text": 3}
    assert len(caplog.records) == 1
    assert "bad" not in caplog.text


@pytest.mark.faults
def test_key_rules_that_raise():
    def judge(key: str):
        raise RuntimeError(key)

    policy = Policy(judge=judge)
    assert policy.value("a", "b") == ERROR
    assert policy.attributes({"a": "b", "n": 1}) == {"a": ERROR, "n": ERROR}
    assert policy.payload({"a": "b"}) == ({"error": ERROR}, ["$"])


@pytest.mark.faults
def test_values_that_raise(policy):
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert policy.attributes({"a": Broken(), "b": "c"}) == {"a": ERROR, "b": "c"}


def test_redacting_twice_equals_once_on_text_made_of_the_rules_own_pieces(policy):
    source = random.Random(7)  # noqa: S311 - no secret is made of it
    pieces = [
        '"', "'", "\\", '":', "':", "password", "token", "{", "[", "}", "]", "=", "&", "?", "sk-", "eyJ", ".", "://",
        "@", ":",
        "Bearer ", "a" * 20, "1" * 20, " ", "-----BEGIN ", "PRIVATE KEY-----", "REDACTED", f" {KEY}", "Basic ",
        "uthorization: ",
    ]  # fmt: skip
    for _ in range(400):
        text = "".join(source.choice(pieces) for _ in range(60))
        once = policy.text(text)
        assert Policy().text(once) == once, text
        assert KEY not in once


def test_a_masked_value_that_was_read_back_is_not_told_again(policy):
    masked = json.loads('{"password": "REDACTED", "token": "REDACTED:error", "secret": "REDACTED:rule:0123456789ab"}')
    assert policy.payload(masked) == (masked, [])
    assert policy.value("password", "REDACTED:hunter2") == "REDACTED"


def test_rules_that_never_agree_with_themselves_lose_the_value():
    assert Policy(find=lambda text, _: [Hit(0, 1, "rule", "x")]).text("something") == ERROR


def test_caches_are_bounded(policy):
    for number in range(20_000):
        policy.attributes({f"key.{number}": f"value {number} " + "x" * 100})
    assert len(policy._decisions) <= 4096
    assert sum(text.__sizeof__() for text in policy._clean) <= 1 << 20
    policy.text("y" * (1 << 17))
    assert "y" * (1 << 17) not in policy._clean


def test_a_text_that_comes_again_is_not_scanned_again_and_is_counted_again():
    seen: list[str] = []

    def find(text: str, judge: object) -> list[Hit]:
        seen.append(text)
        return [Hit(5, 11, "rule", "")] if "hidden" in text else []

    policy = Policy(find=find)
    told = policy.text("it's hidden here"[2:])
    assert "hidden" not in told
    scanned = len(seen)
    assert [policy.at(place).text("it's hidden here"[2:]) for place in ("span", "log")] == [told, told]
    assert len(seen) == scanned
    assert policy.counts() == {("rule", "other"): 1, ("rule", "span"): 1, ("rule", "log"): 1}
    policy.text("it's hidden there"[2:])
    assert len(seen) > scanned
    kept = repr([getattr(policy._shared.repeats, name) for name in policy._shared.repeats.__slots__])
    assert "hidden" not in kept
    assert "here" in kept


def test_two_texts_of_one_hash_are_two_texts():
    class Same(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return 1

    repeats = Repeats()
    repeats.put(Same("one"), "for one", ["rule"])
    assert repeats.get(Same("one")) == ("for one", ("rule",))
    assert repeats.get(Same("two")) is None
    for number in range(20_000):
        repeats.put(f"text {number}", "x" * 200, [])
    assert repeats.get("text 19999") == ("x" * 200, ())
    assert len(repeats._found) < 2000


def test_other_rules_find_other_things_in_a_text_that_came_before():
    policy = Policy(settings=Settings())
    assert "me@example.org" not in policy.text("write to me@example.org")
    policy.use(Settings(redaction_off=("email",)))
    assert policy.text("write to me@example.org") == "write to me@example.org"


def test_threads_share_a_policy(policy):
    wrong: list[object] = []

    def work(number: int) -> None:
        for turn in range(300):
            found = policy.attributes({f"k{turn}": f"{KEY}{number}{turn}", "password": "x", "a": f"ok {turn}"})
            if found != {f"k{turn}": "REDACTED", "password": "REDACTED", "a": f"ok {turn}"}:
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.faults
def test_ids_are_never_touched():
    def find(text: str, judge: object) -> list[Hit]:
        raise ValueError(text)

    ids = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7", "parent_span_id": None}
    policy = Policy(find=find)
    assert policy.attributes(ids) is ids
    assert policy.attributes({"span_id": "no id of OTel's"}) == {"span_id": ERROR}


def test_one_policy_a_process():
    assert default_policy() is default_policy()
