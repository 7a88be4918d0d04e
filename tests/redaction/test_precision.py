# SPDX-License-Identifier: Apache-2.0
"""Precision: what the policy takes out of text that holds no secret. Real addresses of people are no mistake."""

from __future__ import annotations

import hashlib
import json
import random
import sysconfig
import uuid
from collections import Counter
from pathlib import Path

import pytest

from otel_agent_instrumentation.redaction import keys
from otel_agent_instrumentation.redaction.matcher import Matcher
from otel_agent_instrumentation.redaction.rules import build

RULES = build((), (), ())
ENGINES = [Matcher(RULES), Matcher(RULES, fast_after=None)]
MOST_A_MEGABYTE = 10
LEFT_OUT = {"test", "tests", "idlelib", "site-packages", "dist-packages"}


@pytest.fixture(params=ENGINES, ids=Matcher.warm)
def matcher(request) -> Matcher:
    return request.param


def test_the_standard_library(matcher):
    folder = Path(sysconfig.get_paths()["stdlib"])
    found: Counter[str] = Counter()
    size = 0
    for file in sorted(folder.rglob("*.py")):
        if LEFT_OUT.isdisjoint(file.relative_to(folder).parts):
            text = file.read_text(encoding="utf-8", errors="replace")
            size += len(text)
            found.update(hit.rule for hit in matcher.find(text, keys.judge))
    assert size > 5_000_000
    print(f"\n{size / 1e6:.1f} MB: {found}")  # noqa: T201 - `-s` shows what was found
    addresses = found.pop("email", 0)
    assert sum(found.values()) <= MOST_A_MEGABYTE * size / 1e6, (found, addresses)


def ids(source: random.Random) -> dict[str, object]:
    bits = source.getrandbits
    return {
        "trace_id": f"{bits(128):032x}",
        "span_id": f"{bits(64):016x}",
        "id": str(uuid.UUID(int=bits(128), version=4)),
        "response": "chatcmpl-" + hashlib.md5(b"%d" % bits(64)).hexdigest(),  # noqa: S324 - an id
        "sha1": hashlib.sha1(b"%d" % bits(64)).hexdigest(),  # noqa: S324 - an id
        "sha256": "sha256:" + hashlib.sha256(b"%d" % bits(64)).hexdigest(),
        "etag": f'W/"{bits(64):x}"',
        "traceparent": f"00-{bits(128):032x}-{bits(64):016x}-01",
        "score": source.random(),
        "large": source.random() * 10 ** source.randrange(-20, 20),
        "time_unix_nano": 1_700_000_000_000_000_000 + bits(56),
        "ms": 1_700_000_000_000 + bits(36),
        "upper": f"{bits(128):032X}",
    }


def test_ids_hashes_and_floats(matcher):
    source = random.Random(23)  # noqa: S311 - ids
    for _ in range(1500):
        record = ids(source)
        for text in (json.dumps(record), repr(record), "\n".join(map(str, record.values()))):
            assert matcher.find(text, keys.judge) == []
