# SPDX-License-Identifier: Apache-2.0
"""What a model's tokens cost: the user's table first, then `genai-prices` (the extra `[cost]`). No network.

The table is the section `[prices]` of the configuration file, or a file of its own (`OTEL_AGENT_PRICES`), in US dollars
for a million tokens; `*` stands for anything:

    [prices."openai/gpt-5*"]
    input = 1.25
    output = 10.0
    cache_read = 0.125
    date = "2026-11-01"
    [prices."openai/gpt-5*".tiers.batch]
    input = 0.625
    output = 5.0
"""

from __future__ import annotations

import threading
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ..config import toml
from ..core.contain import Contained, warn_once
from ..core.spec import Cost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..config import Settings
    from ..core.spec import Usage

_LIBRARY = "genai_prices"
_LOAD = Contained("prices.load")
_FIND = Contained("prices.find")
_MOST = 4096
_HOUR = 3_600_000_000_000  # ns: some prices change with the time of day

Rate = float | tuple[float, tuple[tuple[int, float], ...]]
"""US dollars a token, or (the same, ((input tokens above which, the rate of the whole call), ...))."""


class Card(msgspec.Struct, frozen=True):
    """The rates of one model, US dollars a token. ``None``: no rate of its own."""

    source: str
    date: str | None = None
    input: Rate | None = None
    output: Rate | None = None
    cache_read: Rate | None = None
    cache_write: Rate | None = None
    reasoning: Rate | None = None

    def cost(self, usage: Usage) -> Cost | None:
        """What ``usage`` costs; None where it used something without a rate, or said nothing at all."""
        total, output = usage.input or 0, usage.output or 0
        if (usage.input is None and usage.output is None) or (total and self.input is None):
            return None
        if output and self.output is None:
            return None
        read = usage.cache_read or 0 if self.cache_read is not None else 0
        written = usage.cache_write or 0 if self.cache_write is not None else 0
        thought = usage.reasoning or 0 if self.reasoning is not None else 0
        usd = max(0, total - read - written) * _at(self.input, total)
        usd += max(0, output - thought) * _at(self.output, total)
        if read or written or thought:
            usd += read * _at(self.cache_read, total)
            usd += written * _at(self.cache_write, total)
            usd += thought * _at(self.reasoning, total)
        return Cost(usd, self.source, self.date)


def _at(rate: Rate | None, total: int) -> float:
    if rate is None:
        return 0.0
    if not isinstance(rate, tuple):
        return rate
    found, tiers = rate
    for start, price in tiers:
        if total > start:
            found = price
    return found


class _Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one service tier, in the user's table."""

    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    reasoning: float | None = None


class _Entry(_Rates, frozen=True, forbid_unknown_fields=True):
    """A model of the user's table. A tier that it does not name has no known price, but `default` and `standard`."""

    tiers: dict[str, _Rates] = {}
    date: str | None = None
    source: str = "table"


_STANDARD = frozenset({None, "default", "standard", "auto"})


class Prices:
    """The price table of this process. Loaded once, by whoever asks first to."""

    def __init__(self, table: Mapping[str, _Entry], *, library: bool) -> None:
        self._table = dict(table)
        self._library: Any = None
        self._cards: dict[tuple[str, str, str | None, int], Card | None] = {}
        self.loaded = threading.Event()
        if not library:
            self.loaded.set()

    def load(self) -> None:
        """Import the library: half a second of work, on a thread of its own. Never raises."""
        with _LOAD:
            from .price_library import Library

            self._library = Library()
        self._cards.clear()
        self.loaded.set()

    def card(self, provider: str, model: str, tier: str | None, time_ns: int) -> Card | None:
        """The rates of a model at a time; None where nobody knows them."""
        key = (provider, model, tier, time_ns // _HOUR)
        try:
            return self._cards[key]
        except KeyError:
            pass
        found = None
        with _FIND:
            found = self._from_table(provider, model, tier)
            if found is None and self._library is not None and not self._named(provider, model):
                found = self._library.card(provider, model, tier, time_ns)
        if len(self._cards) >= _MOST:
            self._cards.clear()
        self._cards[key] = found
        return found

    def _named(self, provider: str, model: str) -> _Entry | None:
        name = f"{provider}/{model}"
        exact = self._table.get(name)
        if exact is not None:
            return exact
        return next((entry for key, entry in self._table.items() if "*" in key and fnmatchcase(name, key)), None)

    def _from_table(self, provider: str, model: str, tier: str | None) -> Card | None:
        entry = self._named(provider, model)
        if entry is None:
            return None
        rates = entry.tiers.get(tier) if tier is not None else None
        if rates is None and tier in _STANDARD:
            rates = entry
        if rates is None:
            return None
        told = {name: _token(getattr(rates, name)) for name in _Rates.__struct_fields__}
        return Card(entry.source, entry.date, **told)


def _token(million: float | None) -> float | None:
    return None if million is None else million / 1_000_000


def prices_of(settings: Settings) -> Prices | None:
    """The prices that the settings give; None where there are none, and nothing is to be done then."""
    if settings.cost == "off":
        return None
    table = _table(cast("object", settings.prices), "[prices]")
    if settings.price_file is not None:
        table |= _file(Path(settings.price_file).expanduser())
    library = settings.cost == "auto" and find_spec(_LIBRARY) is not None
    return Prices(table, library=library) if table or library else None


def _file(path: Path) -> dict[str, _Entry]:
    try:
        document = toml(path)
    except (OSError, ValueError) as error:
        warn_once(
            f"prices:{path}",
            "otel-agent: the price file %s cannot be used (%s); see OTEL_AGENT_PRICES.",
            path,
            type(error).__name__,
        )
        return {}
    return _table(document.get("prices", document), str(path))


def _table(section: object, place: str) -> dict[str, _Entry]:
    """The entries that can be used; a bad one is one warning."""
    found: dict[str, _Entry] = {}
    try:
        named = msgspec.convert(section, dict[str, Any])
    except msgspec.ValidationError:
        named = {}
        warn_once(f"prices:{place}", "otel-agent: %s: expected one table a model; it is ignored.", place)
    for name, entry in named.items():
        try:
            found[name] = msgspec.convert(entry, _Entry)
        except msgspec.ValidationError as error:
            warn_once(f"prices:{place}:{name}", "otel-agent: %s: the price of %r is ignored: %s", place, name, error)
    return found
