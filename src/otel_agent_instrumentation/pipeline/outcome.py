# SPDX-License-Identifier: Apache-2.0
"""What became of one attempt to deliver a batch, and the interface of whatever makes such attempts.

The SDK's exporters answer SUCCESS or FAILURE after retrying by themselves. A queue that retries needs more: whether the
same batch may succeed later, whether parts of it would, and how long the backend asks to be left alone.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from ..core import contain

if TYPE_CHECKING:
    from collections.abc import Sequence

T_contra = TypeVar("T_contra", contravariant=True)


class Verdict(enum.Enum):
    """What to do with the batch now."""

    DELIVERED = "delivered"
    RETRY = "retry"
    REFUSED = "refused"
    SPLIT = "split"


class Outcome(NamedTuple):
    """The result of one attempt.

    ``reason`` is a word of a small vocabulary (it becomes a metric label). ``retry_after`` is what the backend asked
    for, in seconds. ``rejected`` counts records of an accepted batch that the backend turned down (OTLP partial
    success). ``maybe_delivered``: a request left and no answer came, so sending again may deliver twice (or has).
    """

    verdict: Verdict
    reason: str = ""
    retry_after: float | None = None
    rejected: int = 0
    maybe_delivered: bool = False


DELIVERED = Outcome(Verdict.DELIVERED)
FAULT = Outcome(Verdict.REFUSED, "fault")


class Target(Protocol[T_contra]):
    """One backend as a queue sees it. Used by one thread at a time."""

    name: str
    renewable: bool
    """Whether `renew` makes it safe to begin an attempt while an older one hangs in another thread."""

    def attempt(self, batch: Sequence[T_contra], timeout: float) -> Outcome:
        """Try once to deliver ``batch`` within about ``timeout`` seconds."""
        ...

    def renew(self) -> None:
        """Forget all connections without touching them: another process, or an abandoned thread, holds them."""
        ...

    def close(self) -> None:
        """Release what is held. No attempt follows."""
        ...


class PlainTarget:
    """An SDK exporter behind the interface of a target: it retries by itself, so its failures are final."""

    renewable = False

    def __init__(self, exporter: Any, name: str | None = None) -> None:
        self.name = name or type(exporter).__name__
        self._exporter = exporter

    def attempt(self, batch: Sequence[Any], timeout: float) -> Outcome:  # noqa: ARG002 - export() takes no timeout
        """Export ``batch``. An exporter that raises may have written a part already, so nothing is sent again."""
        result = contain.call("pipeline.export", self._exporter.export, batch, default=FAULT)
        if result is FAULT:
            return FAULT
        # Both result enums of the SDK name it so; an exporter that returns nothing promised nothing else.
        delivered = result is None or getattr(result, "name", "") == "SUCCESS"
        return DELIVERED if delivered else Outcome(Verdict.REFUSED, "export_failed")

    def renew(self) -> None:
        """Do nothing: what an unknown exporter holds cannot be replaced from outside."""

    def close(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()


def as_target(exporter: Any) -> Target[Any]:
    """Return ``exporter`` if it makes single attempts, else a wrapper around its ``export``."""
    return exporter if hasattr(exporter, "attempt") else PlainTarget(exporter)
