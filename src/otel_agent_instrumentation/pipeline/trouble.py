# SPDX-License-Identifier: Apache-2.0
"""One log line for each kind of trouble with a backend; the accounts count the rest.

Lines name the signal, the exporter and a reason of a small vocabulary: never a URL, which may hold a key, nor a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import contain
from .outcome import Outcome, Verdict

if TYPE_CHECKING:
    from .accounts import Accounts

_ONLY_COUNTED = " From now on this is only counted: see `otel-agent doctor`."
_WAITING = "otel-agent: %s cannot be delivered to %s for now (%s): they wait in memory, within the queue's bounds."
_LOST = "otel-agent: %s could not be delivered to %s (%s) and are lost."
_FULL = "otel-agent: the queue of %s for %s is full: the oldest are dropped."


def tell(signal: str, exporter: str, outcome: Outcome) -> None:
    """Say once for each reason what became of an attempt."""
    text = _WAITING if outcome.verdict is Verdict.RETRY else _LOST
    key = f"pipeline.{signal}.{exporter}.{outcome.reason}"
    contain.warn_once(key, text + _ONLY_COUNTED, signal, exporter, outcome.reason)


def tell_lost(signal: str, exporter: str, reason: str) -> None:
    """Say once that something is lost that no queue holds."""
    contain.warn_once(f"pipeline.{signal}.{exporter}.{reason}", _LOST + _ONLY_COUNTED, signal, exporter, reason)


def tell_overflow(accounts: Accounts) -> None:
    """Say once that a queue was full. Not where it happens, which is in the caller's code."""
    if accounts.dropped["queue_full"]:
        key = f"pipeline.{accounts.signal}.{accounts.exporter}.queue_full"
        contain.warn_once(key, _FULL + _ONLY_COUNTED, accounts.signal, accounts.exporter)
