# SPDX-License-Identifier: Apache-2.0
"""The hash chain of a file: each line of a process carries a digest over itself and the digest before it.

It shows that lines were changed, removed or put in afterwards by somebody who did not write all that follows anew; it
is no signature. A chain begins with the process's `resource` line, whose `chain_before` names the digest that ended the
segment before, if there is one.
"""

from __future__ import annotations

import hashlib
import re

_CHAIN = re.compile(rb',"chain":"([0-9a-f]{64})"\}\n?\Z')
BEFORE = "chain_before"


def chained(data: bytes, before: str) -> tuple[bytes, str]:
    """A line with its digest, and the digest. ``data`` ends with a newline."""
    digest = _digest(data[:-2], before)
    return b'%b,"chain":"%b"}\n' % (data[:-2], digest.encode()), digest


def split(data: bytes) -> tuple[bytes, str | None]:
    """What of a line its digest is over, and the digest that it carries."""
    found = _CHAIN.search(data)
    return (data, None) if found is None else (data[: found.start()], found[1].decode())


def holds(told: bytes, digest: str, before: str) -> bool:
    """Whether ``digest`` is the one of ``told`` after ``before``."""
    return _digest(told, before) == digest


def _digest(told: bytes, before: str) -> str:
    return hashlib.sha256(before.encode() + told).hexdigest()
