# SPDX-License-Identifier: Apache-2.0
"""What a call's tokens cost: as the library itself reckons, and as the user's table says before it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import genai_prices
import pytest

from otel_agent_instrumentation import config
from otel_agent_instrumentation.core.spec import Usage
from otel_agent_instrumentation.metrics.prices import Prices, prices_of

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 20, 3, 30, tzinfo=UTC)
NOW_NS = int(NOW.timestamp() * 1e9)
# (our provider, the library's, model, tier, the library's context)
KNOWN = [
    ("openai", "openai", "gpt-5", None, None),
    ("openai", "openai", "gpt-5", "default", {"service_tier": "default"}),
    ("openai", "openai", "gpt-5", "priority", {"service_tier": "priority"}),
    ("openai", "openai", "gpt-5", "batch", {"processing": "batch"}),
    ("openai", "openai", "gpt-4o-mini", None, None),
    ("openai", "openai", "text-embedding-3-small", None, None),
    ("azure.ai.openai", "azure", "gpt-4o", None, None),
    ("anthropic", "anthropic", "claude-sonnet-4-5-20250929", None, None),
    ("anthropic", "anthropic", "claude-sonnet-4-5-20250929", "batch", {"processing": "batch"}),
    ("aws.bedrock", "aws", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", None, None),
    ("gcp.vertex_ai", "google", "claude-sonnet-4-5", None, None),
    ("gcp.gemini", "google", "gemini-2.5-pro", None, None),
    ("deepseek", "deepseek", "deepseek-chat", None, None),
    ("groq", "groq", "llama-3.3-70b-versatile", None, None),
]
USAGES = [
    Usage(input=1000, output=100),
    Usage(input=1000, output=0),
    Usage(input=1000, output=100, cache_read=600),
    Usage(input=1000, output=100, cache_read=300, cache_write=500),
    Usage(input=250_000, output=3000, cache_read=100_000, cache_write=0, reasoning=2000),
]


@pytest.fixture(scope="module")
def library() -> Prices:
    prices = Prices({}, library=True)
    prices.load()
    return prices


def theirs(usage: Usage) -> genai_prices.Usage:
    told = {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write,
        "output_reasoning_tokens": usage.reasoning,
    }
    return genai_prices.Usage(**{key: value for key, value in told.items() if value is not None})


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: "-".join(map(str, known[:4])))
@pytest.mark.parametrize("usage", USAGES, ids=range(len(USAGES)))
def test_it_is_what_the_library_reckons(library, known, usage):
    provider, seller, model, tier, context = known
    expected = genai_prices.calc_price(
        theirs(usage), model, provider_id=seller, genai_request_timestamp=NOW, price_context=context
    )
    card = library.card(provider, model, tier, NOW_NS)
    if expected.model_price.output_mtok is None and usage.output:
        assert card.cost(usage) is None  # it used what has no price
        return
    cost = card.cost(usage)
    assert cost.usd == pytest.approx(float(expected.total_price), rel=1e-9)
    assert cost.source == f"genai-prices {genai_prices.__version__}"


@pytest.mark.parametrize(
    ("provider", "model", "tier"),
    [
        ("openai", "no-such-model", None),
        ("ollama", "llama3.2", None),
        ("nobody", "gpt-5", None),
        ("anthropic", "claude-sonnet-4-5", "priority"),  # priced by commitment: nowhere told
    ],
)
def test_what_nobody_knows_has_no_price(library, provider, model, tier):
    assert library.card(provider, model, tier, NOW_NS) is None


def test_a_price_that_changes_with_the_time_of_day_is_that_of_the_call():
    """As far as the installed data have one; what they say of a model is asked again each hour."""
    prices = Prices({}, library=True)
    prices.load()
    found: Any = prices._library
    asked: list[int] = []

    class Clock:
        def card(self, provider: str, model: str, tier: str | None, time_ns: int) -> Any:
            asked.append(time_ns)
            return found.card(provider, model, tier, time_ns)

    prices._library = Clock()
    for minutes in (0, 10, 59, 61, 130):
        prices.card("openai", "gpt-5", None, NOW_NS // 3_600_000_000_000 * 3_600_000_000_000 + minutes * 60 * 10**9)
    assert len(asked) == 3


TABLE = """
[prices."openai/gpt-5"]
input = 1.0
output = 10.0
cache_read = 0.1
cache_write = 2.0
reasoning = 20.0
date = "2026-11-01"
source = "contract 7"
[prices."openai/gpt-5".tiers.batch]
input = 0.5
output = 5.0
[prices."openai/local-*"]
input = 0
output = 0
[prices."openai/bad"]
inptu = 1
[prices."openai/worse"]
input = "much"
"""


@pytest.fixture
def table(tmp_path: Path) -> Prices:
    (tmp_path / "otel-agent.toml").write_text(TABLE)
    prices = prices_of(config.load({"OTEL_AGENT_COST": "auto"}))
    assert prices is not None
    prices.load()
    return prices


@pytest.mark.logs
def test_the_table_wins_over_the_library_and_tells_kinds_of_tokens_apart(table, caplog):
    usage = Usage(input=1000, output=100, cache_read=500, cache_write=200, reasoning=40)
    cost = table.card("openai", "gpt-5", None, NOW_NS).cost(usage)
    assert cost.usd == pytest.approx((300 * 1 + 500 * 0.1 + 200 * 2 + 60 * 10 + 40 * 20) / 1e6)
    assert (cost.source, cost.date) == ("contract 7", "2026-11-01")
    assert table.card("openai", "gpt-5", "batch", NOW_NS).cost(Usage(input=10, output=10)).usd == pytest.approx(5.5e-5)
    assert table.card("openai", "gpt-5", "priority", NOW_NS) is None  # the table knows the model, and not this
    assert table.card("openai", "local-llama", None, NOW_NS).cost(usage).usd == 0.0  # said to cost nothing
    assert table.card("openai", "gpt-4o", None, NOW_NS).source.startswith("genai-prices")
    told = [record.getMessage() for record in caplog.get_records("setup")]
    assert len(told) == 2
    assert all("[prices]" in line and "is ignored" in line for line in told)


@pytest.mark.logs
def test_an_answer_that_says_nothing_of_tokens_has_no_cost(table):
    card = table.card("openai", "gpt-4o", None, NOW_NS)
    assert card.cost(Usage()) is None
    assert card.cost(Usage(input=None, output=7)).usd == pytest.approx(7 * 10 / 1e6)


@pytest.mark.logs
@pytest.mark.parametrize("text", [None, "[prices", '[prices]\n"x" = 3', "prices = 3"])
def test_a_price_file_that_cannot_be_used_is_one_warning(tmp_path, caplog, text):
    path = tmp_path / "prices.toml"
    if text is not None:
        path.write_text(text)
    assert prices_of(config.load({"OTEL_AGENT_COST": "table", "OTEL_AGENT_PRICES": str(path)})) is None
    assert len(caplog.records) == 1


def test_a_price_file_wins_over_the_section(tmp_path):
    (tmp_path / "otel-agent.toml").write_text(TABLE.partition('[prices."openai/bad"]')[0])
    (tmp_path / "p.toml").write_text('["openai/gpt-5"]\ninput = 3')
    prices = prices_of(config.load({"OTEL_AGENT_COST": "table", "OTEL_AGENT_PRICES": str(tmp_path / "p.toml")}))
    assert prices is not None
    assert prices.card("openai", "gpt-5", None, NOW_NS).cost(Usage(input=10**6)).usd == pytest.approx(3)  # pyright: ignore[reportOptionalMemberAccess]
    assert prices.card("openai", "gpt-5", None, NOW_NS).cost(Usage(input=1, output=1)) is None  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.parametrize("mode", ["off", "table"])
def test_without_prices_there_is_nothing(mode):
    assert prices_of(config.load({"OTEL_AGENT_COST": mode})) is None
