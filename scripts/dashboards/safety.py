# SPDX-License-Identifier: Apache-2.0
"""Safety: what redaction replaced, whether content is recorded, agents that go in circles, faults of our own."""

from __future__ import annotations

from .model import Dashboard, Panel, Target
from .promql import increase, rate, value

DASHBOARD = Dashboard(
    "agent-safety",
    "Safety",
    "Redaction, content capture and loops.",
    (
        Panel(
            "Values redacted",
            "In the range.",
            "short",
            (Target(increase("agent.redactions")),),
            kind="stat",
            width=6,
        ),
        Panel(
            "Faults of redaction",
            "In the range. The value was dropped, never let through.",
            "short",
            (Target(increase("agent.redactions", where='agent_redaction_rule="error"')),),
            kind="stat",
            trouble=True,
            width=6,
        ),
        Panel(
            "Loops suspected",
            "In the range: the same model or tool call with the same arguments, again and again.",
            "short",
            (Target(increase("agent.loops")),),
            kind="stat",
            trouble=True,
            width=6,
        ),
        Panel(
            "Contained faults",
            "Faults of the instrumentation in the range: your calls never saw them. `otel-agent doctor` says where.",
            "short",
            (Target(increase("agent.faults")),),
            kind="stat",
            trouble=True,
            width=6,
        ),
        Panel(
            "Redactions by rule",
            "A minute. `key`: by the name of a field.",
            "short",
            (Target(f"{rate('agent.redactions', 'agent_redaction_rule')} * 60", "{{agent_redaction_rule}}"),),
        ),
        Panel(
            "Redactions by place",
            "A minute.",
            "short",
            (Target(f"{rate('agent.redactions', 'agent_redaction_place')} * 60", "{{agent_redaction_place}}"),),
        ),
        Panel(
            "Content recorded",
            "Services whose messages are recorded (1) or not (0), by the mode that is set.",
            "short",
            (
                Target(
                    value("agent.content.capture", "service_name", "agent_content_mode", how="max"),
                    "{{service_name}} {{agent_content_mode}}",
                ),
            ),
        ),
        Panel(
            "Loops by agent and kind",
            "Suspected in the last hour.",
            "short",
            (
                Target(
                    increase("agent.loops", "gen_ai_agent_name", "agent_loop_kind", window="1h"),
                    "{{gen_ai_agent_name}} {{agent_loop_kind}}",
                ),
            ),
            width=12,
        ),
        Panel(
            "Events",
            "Of all agents, a minute, by what they are.",
            "short",
            (Target(f"topk(20, {rate('agent.events', 'agent_event_name')} * 60)", "{{agent_event_name}}"),),
            width=12,
        ),
        Panel(
            "Numbers in events",
            "The last value of a number in an event's payload, such as the score of a plan or of a review.",
            "short",
            (
                Target(
                    f"topk(20, {value('agent.event.value', 'agent_event_name', 'agent_event_field', how='avg')})",
                    "{{agent_event_name}} {{agent_event_field}}",
                ),
            ),
            width=24,
            empty="no event carries a number",
        ),
    ),
)
