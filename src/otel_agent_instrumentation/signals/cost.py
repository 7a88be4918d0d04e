# SPDX-License-Identifier: Apache-2.0
"""What calls cost: an observer before all others, so that span and ledger line carry it. There only with prices.

The library of prices takes half a second to import. That goes on beside the first call, on a thread of its own, and
the ends of calls wait for it where they are told later in any case; where they are not (providers of the application,
content), a call that is faster than that has its cost in the metric alone.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from .. import semconv
from ..core.contain import Contained
from ..core.engine import engine
from ..redaction import loading

if TYPE_CHECKING:
    from ..core.spec import Call
    from ..metrics.prices import Prices
    from .metrics import Metrics

_LATE = Contained("cost.late")
_LONGEST = 10.0  # seconds for the import: nothing is held back for longer
_MOST_LATE = 10_000
_METRICS = (semconv.COST_USD, semconv.COST_UNPRICED)


class Costs:
    """The observer."""

    name = "cost"

    def __init__(self, prices: Prices, measured: Metrics) -> None:
        self._prices = prices
        self._measured = measured
        self._thread: threading.Thread | None = None
        self._late: deque[Call] = deque(maxlen=_MOST_LATE)
        self._lock = threading.Lock()

    def on_start(self, call: Call) -> None:
        """Have the prices loaded while the first model call goes on."""
        if not self._prices.loaded.is_set() and call.api.durations is None:
            self._load()

    def on_end(self, call: Call) -> None:
        """Price a model call that used tokens."""
        response = call.response
        if call.api.durations is not None or response is None or response.usage is None or response.repeated:
            return
        if not call.request.owns_tokens:
            return
        if self._prices.loaded.is_set():
            self._price(call)
            return
        self._late.append(call)
        if self._prices.loaded.is_set():  # just now
            self._tell_late()

    def _price(self, call: Call) -> None:
        request, response = call.request, call.response
        usage = response.usage if response is not None else None
        if response is None or usage is None or (not usage.input and not usage.output):
            return
        tier = response.attributes.get(semconv.OPENAI_SERVICE_TIER) if response.attributes else None
        card = self._prices.card(request.provider, response.model, tier, call.start_ns) if response.model else None
        if card is None and request.model and request.model != response.model:
            card = self._prices.card(request.provider, request.model, tier, call.start_ns)
        if card is not None:
            call.cost = card.cost(usage)
        recorders = self._measured.recorders(_METRICS, (request.provider, request.model), call.run)
        moment = self._measured.moment_of(call)
        if call.cost is not None:
            if call.run is not None:
                with call.run.lock:
                    call.run.spent = (call.run.spent or 0.0) + call.cost.usd
            recorders.record(semconv.COST_USD, call.cost.usd, moment)
        else:
            recorders.record(semconv.COST_UNPRICED, 1, moment)

    def _load(self) -> None:
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            until = time.monotonic() + _LONGEST

            def there(wait: float) -> bool:
                left = until - time.monotonic()
                return left <= 0 or self._prices.loaded.wait(min(wait, left))

            if engine.defers:
                engine.awaits = there
            self._thread = threading.Thread(target=self._loaded, name="otel-agent prices", daemon=True)
            self._thread.start()

    def _loaded(self) -> None:
        with loading.lock:  # nobody forks meanwhile
            self._prices.load()
        engine.awaits = None
        self._tell_late()
        engine.drain()

    def _tell_late(self) -> None:
        while self._late:
            with _LATE:
                try:
                    call = self._late.popleft()
                except IndexError:  # another thread tells as well
                    return
                call.more = False  # no burst of ends is told on this thread
                self._price(call)
