# SPDX-License-Identifier: Apache-2.0
"""What stands for a secret: the word, a keyed hash, nothing; the key's file; the user's rules and lists."""

from __future__ import annotations

import random
import stat
from typing import Any

import pytest

import planted
from otel_agent_instrumentation.config import Redaction, Settings, UserRule
from otel_agent_instrumentation.redaction.policy import Policy

SECRET = planted.SECRETS["github"](random.Random(3))  # noqa: S311 - made up
MAIL = "jane.doe@" + "corp-example.com"


def hashed(**settings: Any) -> Policy:
    return Policy(settings=Settings(redaction_mode="hash")._replace(**settings))


def test_equal_secrets_stay_joinable(tmp_path):
    policy = hashed(redaction_key_file=str(tmp_path / "state" / "key"))
    first, second = policy.text(f"a {SECRET} b"), policy.text(f"{SECRET}, again")
    mark = first.split()[1]
    assert mark.startswith("REDACTED:github:")
    assert len(mark.rpartition(":")[2]) == 12
    assert second == f"{mark}, again"
    assert policy.value("password", "hunter2").startswith("REDACTED:key:")
    assert policy.value("pin", "x") == "x"
    assert policy.text(first) == first
    assert policy.payload({"password": policy.value("password", "hunter2")})[1] == []


def test_a_mark_is_never_marked_again():
    policy = hashed(redaction_key="k")
    for text in ("amqp://u:hunter2@h/x", '{"password": "hunter2"}', "token=a1B2c3D4e5F6g7H8i9J0&x=1", f"a {MAIL}"):
        once = policy.text(text)
        assert "REDACTED:" in once
        assert hashed(redaction_key="other").text(once) == once


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path):
    path = tmp_path / "state" / "redaction.key"
    one = hashed(redaction_key_file=str(path)).text(SECRET)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) == 32
    assert hashed(redaction_key_file=str(path)).text(SECRET) == one
    assert hashed(redaction_key_file=str(tmp_path / "other")).text(SECRET) != one
    assert hashed(redaction_key="k").text(SECRET) == hashed(redaction_key="k").text(SECRET) != one
    assert sorted(item.name for item in path.parent.iterdir()) == ["redaction.key"]


@pytest.mark.logs
def test_a_key_that_cannot_be_kept_still_hashes(tmp_path):
    (tmp_path / "file").write_text("short")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        assert hashed(redaction_key_file=str(path)).text(SECRET).startswith("REDACTED:github:")


def test_no_key_is_made_where_nothing_is_hashed(tmp_path):
    path = tmp_path / "key"
    assert Policy(settings=Settings(redaction_key_file=str(path))).text(SECRET) == "REDACTED"
    assert not path.exists()


def test_modes_by_rule_and_kind():
    chosen = Redaction(modes={"pii": "hash", "github": "drop", "key": "drop"})
    policy = Policy(settings=Settings(redaction=chosen, redaction_key="k"))
    assert policy.text(f"x {SECRET} y") == "x  y"
    assert policy.text(MAIL).startswith("REDACTED:email:")
    assert policy.payload({"password": "p", "a": 1}) == ({"a": 1}, ["$.password"])
    assert policy.value("password", "p") is None
    assert policy.text('{"password": "p", "n": {"token": ["x"]}}') == '{"password": "", "n": {"token": ""}}'


@pytest.mark.logs
def test_what_is_allowed_stays():
    chosen = Redaction(
        allow=(r".*@corp-example\.com", r"ghp_[0-9]+", "("), plain_keys=("sort_token",), keys=("badge", "key_card")
    )
    policy = Policy(settings=Settings(redaction=chosen))
    assert policy.text(f"{MAIL} {SECRET}") == f"{MAIL} REDACTED"
    assert policy.attributes({"sort_token": "abc", "x.badge": "17", "password": "x@corp-example.com"}) == {
        "sort_token": "abc", "x.badge": "REDACTED", "password": "x@corp-example.com",
    }  # fmt: skip
    assert policy.text('{"badge": "17"}') == '{"badge": "REDACTED"}'
    assert policy.text('{"keyCard": "17", "key": "18", "api_key": "19"}') == (
        '{"keyCard": "REDACTED", "key": "18", "api_key": "REDACTED"}'
    )


def test_kinds_and_rules_are_switched():
    off = Policy(settings=Settings(redaction_off=("pii",), redaction_on=("iban", "ipv4")))
    iban = "DE89 3704 0044 0532 0130 00"
    assert off.text(f"{MAIL} {iban} 10.1.2.3 {SECRET}") == f"{MAIL} REDACTED REDACTED REDACTED"
    names = Policy(settings=Settings(redaction_off=("key",)))
    assert names.text('{"password": "hunter2"}') == '{"password": "hunter2"}'
    assert names.attributes({"password": "hunter2", "a": SECRET}) == {"password": "hunter2", "a": "REDACTED"}


@pytest.mark.logs
def test_the_users_rules(caplog):
    rules = (
        UserRule("staff", "EMP-[0-9]{6}", ("EMP-",)),
        UserRule("group", "id<([a-z]+)>"),
        UserRule("broken", "("),
        UserRule("slow", "(a+)+b"),
    )
    policy = Policy(settings=Settings(redaction=Redaction(rules=rules), redaction_off=("nonsense",)))
    assert policy.text("see EMP-123456 and id<bob>") == "see REDACTED and id<REDACTED>"
    assert policy.counts() == {("staff", "other"): 1, ("group", "other"): 1}
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3
    assert any("'broken'" in line for line in told)
    assert any("'slow'" in line for line in told)
    assert any("'nonsense'" in line for line in told)


def test_settings_are_followed():
    policy = Policy(settings=Settings())
    other = policy.at("elsewhere")
    assert policy.text(MAIL) == "REDACTED"
    policy.use(Settings(redaction_off=("email",)))
    assert policy.text(MAIL) == MAIL
    assert other.text(MAIL) == MAIL
    assert other.at("elsewhere") is other
