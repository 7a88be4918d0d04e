# SPDX-License-Identifier: Apache-2.0
"""LLM: calls, latency, tokens, cost and errors of the models.

The convention is being renamed: a panel asks for its names of today (`OTEL_AGENT_SEMCONV=1.41`, the default), and for
those of the newest version where the others are not there.
"""

from __future__ import annotations

from .model import Dashboard, Panel, Target
from .promql import either, increase, quantile, rate, ratio

_DURATION = ("gen_ai.client.operation.duration", "gen_ai.client.inference.duration")
_FIRST_CHUNK = ("gen_ai.client.operation.time_to_first_chunk", "gen_ai.client.inference.time_to_first_chunk")
_TOKENS = "gen_ai.client.token.usage"
_USAGE = "gen_ai.client.inference.usage"
_SIZE = "gen_ai.client.inference.operation"
_MODEL = "gen_ai_request_model"
_ERRORS = 'error_type!=""'


def _calls(*by: str, where: str = "") -> str:
    return either(*(rate(name, *by, part="_count", where=where) for name in _DURATION))


def _quantile(share: float, names: tuple[str, str], *by: str) -> str:
    return either(*(quantile(share, name, *by) for name in names))


def _tokens(kind: str, *by: str) -> str:
    newest = rate(f"{_USAGE}.{kind}_tokens", *by)
    return either(rate(_TOKENS, *by, part="_sum", where=f'gen_ai_token_type="{kind}"'), newest)


DASHBOARD = Dashboard(
    "agent-llm",
    "LLM",
    "Model calls: how many, how fast, how many tokens, at what price, and what went wrong.",
    (
        Panel("Calls", "Model calls, a second, by model.", "ops", (Target(_calls(_MODEL), f"{{{{{_MODEL}}}}}"),)),
        Panel(
            "Calls that failed, by provider",
            "Share of the calls. Retries that the client made by itself are not in it: they are one call.",
            "percentunit",
            (
                Target(
                    ratio(_calls("gen_ai_provider_name", where=_ERRORS), _calls("gen_ai_provider_name")),
                    "{{gen_ai_provider_name}}",
                ),
            ),
            trouble=True,
        ),
        Panel(
            "Errors by type",
            "A minute. The type is the class that the caller saw.",
            "short",
            (Target(f"({_calls('error_type', where=_ERRORS)}) * 60", "{{error_type}}"),),
            trouble=True,
        ),
        Panel(
            "Duration",
            "Quantiles over all models. Each dot is an exemplar: a click opens its trace in Jaeger.",
            "s",
            tuple(Target(_quantile(q, _DURATION), f"p{q * 100:.0f}") for q in (0.5, 0.95, 0.99)),
            exemplars=True,
        ),
        Panel(
            "Duration by model, p95",
            "Whole calls, streamed ones to their last chunk.",
            "s",
            (Target(_quantile(0.95, _DURATION, _MODEL), f"{{{{{_MODEL}}}}}"),),
            exemplars=True,
        ),
        Panel(
            "Time to the first chunk",
            "Of streamed answers: quantiles over all models.",
            "s",
            tuple(Target(_quantile(q, _FIRST_CHUNK), f"p{q * 100:.0f}") for q in (0.5, 0.95, 0.99)),
            exemplars=True,
            empty="no streamed calls",
        ),
        Panel(
            "Tokens by kind",
            "A minute. Input is the convention's total, cached tokens included.",
            "short",
            tuple(Target(f"({_tokens(kind)}) * 60", kind) for kind in ("input", "output")),
        ),
        Panel(
            "Input tokens by model",
            "A minute.",
            "short",
            (Target(f"({_tokens('input', _MODEL)}) * 60", f"{{{{{_MODEL}}}}}"),),
        ),
        Panel(
            "Output tokens by model",
            "A minute.",
            "short",
            (Target(f"({_tokens('output', _MODEL)}) * 60", f"{{{{{_MODEL}}}}}"),),
        ),
        Panel(
            "Input tokens of a call, p95",
            "By model: a rise is a context that grows.",
            "short",
            (
                Target(
                    either(
                        quantile(0.95, _TOKENS, _MODEL, where='gen_ai_token_type="input"'),
                        quantile(0.95, f"{_SIZE}.input_tokens", _MODEL),
                    ),
                    f"{{{{{_MODEL}}}}}",
                ),
            ),
        ),
        Panel(
            "Output tokens of a call, p95",
            "By model.",
            "short",
            (
                Target(
                    either(
                        quantile(0.95, _TOKENS, _MODEL, where='gen_ai_token_type="output"'),
                        quantile(0.95, f"{_SIZE}.output_tokens", _MODEL),
                    ),
                    f"{{{{{_MODEL}}}}}",
                ),
            ),
        ),
        Panel(
            "Input read from the cache",
            "Share of the input tokens that the provider had cached; and written to its cache.",
            "percentunit",
            (
                Target(ratio(rate(f"{_USAGE}.cache_read.input_tokens"), rate(f"{_USAGE}.input_tokens")), "read"),
                Target(ratio(rate(f"{_USAGE}.cache_write.input_tokens"), rate(f"{_USAGE}.input_tokens")), "written"),
            ),
            empty="needs OTEL_AGENT_SEMCONV=dual or latest",
        ),
        Panel(
            "Output spent on reasoning",
            "Share of the output tokens, by model.",
            "percentunit",
            (
                Target(
                    ratio(rate(f"{_USAGE}.reasoning.output_tokens", _MODEL), rate(f"{_USAGE}.output_tokens", _MODEL)),
                    f"{{{{{_MODEL}}}}}",
                ),
            ),
            empty="needs OTEL_AGENT_SEMCONV=dual or latest",
        ),
        Panel(
            "Spend by model",
            "US dollars an hour.",
            "currencyUSD",
            (Target(f"{rate('agent.cost.usd', _MODEL)} * 3600", f"{{{{{_MODEL}}}}}"),),
            empty="no prices: see docs/metrics.md",
        ),
        Panel(
            "Calls without a price",
            "Used tokens, but no price is known for the model: the spend above lacks them.",
            "short",
            (Target(increase("agent.cost.unpriced", _MODEL, window="1h"), f"{{{{{_MODEL}}}}}"),),
            empty="no prices: see docs/metrics.md",
        ),
        Panel(
            "How long calls take",
            "Calls by duration.",
            "s",
            (
                Target(
                    either(*(rate(name, "le", part="_bucket") for name in _DURATION)),
                    "{{le}}",
                ),
            ),
            kind="heatmap",
            width=24,
        ),
    ),
)
