# SPDX-License-Identifier: Apache-2.0
"""Pipeline: whether what is measured arrives, from the agent's queues to the collector's."""

from __future__ import annotations

from .model import Dashboard, Panel, Target
from .promql import increase, rate, value

WINDOW = "$__rate_interval"
_COLLECTOR = 'job="otel-collector"'


def _collector(metric: str, by: str) -> str:
    # The collector's own counters end in `_total` or not, by its version and reader.
    return f'sum by ({by}) (rate({{__name__=~"{metric}(_total)?", {_COLLECTOR}}}[{WINDOW}]))'


def _any(metric: str, by: str) -> str:
    # One name at a time: a rate drops the name, and two series of the same labels are an error.
    return " or ".join(_collector(f"{metric}_{what}", by) for what in ("spans", "metric_points", "log_records"))


DASHBOARD = Dashboard(
    "agent-pipeline",
    "Pipeline",
    "The telemetry's own health: losses, queues, the collector.",
    (
        Panel(
            "Lost in agents",
            "Spans, log records and metric points in the range that could not be delivered.",
            "short",
            (Target(increase("agent.telemetry.dropped")),),
            kind="stat",
            trouble=True,
            width=6,
        ),
        Panel(
            "Waiting in agents",
            "What agents' queues hold now.",
            "short",
            (Target(value("agent.telemetry.queued")),),
            kind="stat",
            width=6,
        ),
        Panel(
            "Collector up",
            "1 if the last scrape of every collector went well.",
            "short",
            (Target(f"min (up{{{_COLLECTOR}}})"),),
            kind="stat",
            width=6,
        ),
        Panel(
            "Services that report",
            "Services with a process that told its memory in the last five minutes.",
            "short",
            (Target(f"count({value('process.memory.usage', 'service_name')})"),),
            kind="stat",
            width=6,
        ),
        Panel(
            "Handed to exporters",
            "A second, by signal and exporter.",
            "ops",
            (
                Target(
                    rate("agent.telemetry.emitted", "agent_signal", "agent_exporter"),
                    "{{agent_signal}} {{agent_exporter}}",
                ),
            ),
        ),
        Panel(
            "Delivered",
            "A second, by signal and exporter: what the receiver took.",
            "ops",
            (
                Target(
                    rate("agent.telemetry.exported", "agent_signal", "agent_exporter"),
                    "{{agent_signal}} {{agent_exporter}}",
                ),
            ),
        ),
        Panel(
            "Lost in agents, by reason",
            "A minute.",
            "short",
            (
                Target(
                    f"{rate('agent.telemetry.dropped', 'agent_signal', 'agent_reason')} * 60",
                    "{{agent_signal}} {{agent_reason}}",
                ),
            ),
            trouble=True,
        ),
        Panel(
            "Taken by the collector",
            "Spans, log records and points, a second.",
            "ops",
            tuple(
                Target(_collector(f"otelcol_receiver_accepted_{what}", "receiver"), f"{what} {{{{receiver}}}}")
                for what in ("spans", "metric_points", "log_records")
            ),
        ),
        Panel(
            "Sent by the collector",
            "Spans and points, a second, by exporter. Fewer spans than taken: that is the sampling.",
            "ops",
            tuple(
                Target(_collector(f"otelcol_exporter_sent_{what}", "exporter"), f"{what} {{{{exporter}}}}")
                for what in ("spans", "metric_points")
            ),
        ),
        Panel(
            "Lost by the collector",
            "A second: refused for want of memory, not sent, or not put into the queue.",
            "ops",
            (
                Target(_any("otelcol_exporter_send_failed", "exporter"), "not sent {{exporter}}"),
                Target(_any("otelcol_exporter_enqueue_failed", "exporter"), "no room {{exporter}}"),
                Target(_any("otelcol_receiver_refused", "receiver"), "refused {{receiver}}"),
            ),
            trouble=True,
        ),
        Panel(
            "The collector's queues",
            "How full, by exporter. Over 0.7 for long: the backend is too slow, and more collectors do not help.",
            "percentunit",
            (
                Target(
                    f"max by (exporter) (otelcol_exporter_queue_size{{{_COLLECTOR}}}"
                    f" / otelcol_exporter_queue_capacity{{{_COLLECTOR}}})",
                    "{{exporter}}",
                ),
            ),
        ),
        Panel(
            "Runs that are decided on",
            "Traces of the tail sampling, a second, kept or not.",
            "ops",
            (
                Target(
                    _collector("otelcol_processor_tail_sampling_global_count_traces_sampled", "sampled"), "{{sampled}}"
                ),
            ),
        ),
        Panel(
            "Memory of agents",
            "Physical memory of each service's processes.",
            "bytes",
            (Target(value("process.memory.usage", "service_name"), "{{service_name}}"),),
        ),
        Panel(
            "Series by metric",
            "The ten metrics with the most series.",
            "short",
            (Target('topk(10, count by (__name__) ({__name__=~"(gen_ai|agent|mcp|traces_span_metrics)_.+"}))'),),
            kind="table",
        ),
        Panel(
            "Spans by kind",
            "Of all runs, before sampling, a second (the collector's span_metrics).",
            "ops",
            (
                Target(
                    f'sum by (span_kind) (rate(traces_span_metrics_calls_total{{service_name=~"$service"}}[{WINDOW}]))'
                ),
            ),
        ),
    ),
)
