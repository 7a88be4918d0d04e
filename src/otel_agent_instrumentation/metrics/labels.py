# SPDX-License-Identifier: Apache-2.0
"""Bounded vocabularies: the first values of a label are kept, later ones are `other` (contracts 6)."""

from __future__ import annotations

from .. import semconv

OTHER = "other"
_LIMITS = {
    semconv.AGENT_NAME: 50,
    semconv.TASK: 100,
    semconv.REQUEST_MODEL: 100,
    semconv.RESPONSE_MODEL: 100,
    semconv.PROVIDER_NAME: 50,
    semconv.SERVER_ADDRESS: 50,
    semconv.SERVER_PORT: 50,
    semconv.ERROR_TYPE: 100,
    semconv.EVENT_NAME: 100,
}
_LONGEST = 128


def limit(label: str) -> int:
    """How many values a label may have before the next one is `other`."""
    return _LIMITS.get(label, 50)


class Vocabulary:
    """The values seen of each label, up to its limit. Never forgets: a label that comes and goes is no label."""

    def __init__(self) -> None:
        self._seen: dict[str, set[object]] = {}

    def bounded(self, label: str, value: object) -> object:
        """``value``, or `other` where the label has no room left or the value is no label (too long)."""
        seen = self._seen.setdefault(label, set())
        if value in seen:
            return value
        if len(seen) >= limit(label) or (isinstance(value, str) and len(value) > _LONGEST):
            return OTHER if isinstance(value, str) else -1
        seen.add(value)
        return value
