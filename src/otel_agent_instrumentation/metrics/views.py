# SPDX-License-Identifier: Apache-2.0
"""Views that bound every label of ours: what the catalogue does not list is dropped, also from a foreign caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.view import View

from .. import semconv
from .catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterable

# Labels are bounded at the source too; this is the belt to those braces (contracts 6: agent 50, models 100 each).
_MOST_SERIES = 2000


def views(names: Iterable[str] = tuple(CATALOGUE)) -> list[View]:
    """One view for each metric: an allow-list of labels, and a limit of series where the SDK (>= 1.45.2) has one."""
    found: list[View] = []
    for name in names:
        settings: dict[str, Any] = {
            "instrument_name": name,
            "meter_name": semconv.SCOPE,
            "attribute_keys": set(CATALOGUE[name].labels),
        }
        try:
            found.append(View(**settings, aggregation_cardinality_limit=_MOST_SERIES))
        except TypeError:  # nothing to tell: the source bounds the labels in any case
            found.append(View(**settings))
    return found
