# SPDX-License-Identifier: Apache-2.0
"""Rates from the data that `genai-prices` carries: looked up once a model and hour, never by its own calculation.

Read in 0.2.3: `calc_price` takes 46 us a call and its arithmetic is what :class:`.prices.Card` does; what it says of
models, tiers and times of day is kept. Its network updates are never started.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import genai_prices  # pyright: ignore[reportMissingImports, reportUnusedImport]
from genai_prices import data_snapshot

from .prices import Card

if TYPE_CHECKING:
    from .prices import Rate

_FIELDS = {
    "input": ("input_mtok",),
    "output": ("output_mtok",),
    "cache_read": ("cache_read_mtok",),
    "cache_write": ("cache_write_mtok", "cache_write_5m_mtok"),
    "reasoning": ("output_reasoning_mtok",),
}
# The convention's names of providers, where the library's own matching does not know them.
_PROVIDERS = {
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "aws.bedrock": "aws",
    "gcp.vertex_ai": "google",
    "gcp.gemini": "google",
    "x_ai": "x-ai",
    "mistral_ai": "mistral",
}
_STANDARD = frozenset({None, "default", "standard", "auto"})


class Library:
    """What the installed version of the library knows."""

    def __init__(self) -> None:
        self._data: Any = data_snapshot.get_snapshot()
        self._source = f"genai-prices {genai_prices.__version__}"

    def card(self, provider: str, model: str, tier: str | None, time_ns: int) -> Card | None:
        """The rates of a model; None where the library does not know it, or not in this tier."""
        when = datetime.fromtimestamp(time_ns / 1e9, tz=timezone.utc)
        try:
            seller, found = self._data.find_provider_model(model, None, _PROVIDERS.get(provider, provider), None)
        except LookupError:
            return None
        context = _context(found, seller, tier)
        if context is None:
            return None
        prices = found.get_prices(when, context)
        rates = {name: _rate(prices, keys) for name, keys in _FIELDS.items()}
        if rates["input"] is None and rates["output"] is None:
            return None
        return Card(self._source, _since(found, when), **rates)


def _context(model: Any, seller: Any, tier: str | None) -> dict[str, str] | None:
    """The library's word for a service tier; None where it has no price for it."""
    if tier in _STANDARD:
        return {}
    own = any(model is one for one in seller.models)  # another provider's model at this one has no tiers
    for variant in (model.price_variants or ()) if own else ():
        for key, value in variant.when.items():
            if value == tier:
                return {key: value}
    return None


def _rate(prices: Any, keys: tuple[str, ...]) -> Rate | None:
    for key in keys:
        value = getattr(prices, key, None)
        if value is not None:
            tiers = getattr(value, "tiers", None)
            if tiers is None:
                return float(value) / 1_000_000
            return float(value.base) / 1_000_000, tuple((tier.start, float(tier.price) / 1_000_000) for tier in tiers)
    return None


def _since(model: Any, when: datetime) -> str | None:
    """The day from which the price holds, where the library says."""
    conditions: Any = getattr(model, "prices", None)
    if not hasattr(conditions, "__iter__"):  # one price, without conditions
        return None
    starts: list[Any] = [
        one.constraint.start_date
        for one in conditions
        if one.constraint is not None and hasattr(one.constraint, "start_date") and one.constraint.active(when)
    ]
    return max(starts).isoformat() if starts else None
