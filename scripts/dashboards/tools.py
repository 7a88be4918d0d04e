# SPDX-License-Identifier: Apache-2.0
"""Tools and commands: what agents used, how long it took, what failed; MCP on both sides."""

from __future__ import annotations

from .model import Dashboard, Panel, Target
from .promql import increase, quantile, rate, ratio

_TOOL = "gen_ai_tool_name"
_ERRORS = 'error_type!=""'
_COMMAND = 'gen_ai_tool_type="command"'
_RUN = "gen_ai.execute_tool.duration"
_CALLS = "agent.tool.calls"
_CLIENT, _SERVER = "mcp.client.operation.duration", "mcp.server.operation.duration"

DASHBOARD = Dashboard(
    "agent-tools",
    "Tools and commands",
    "Tools of the model's requests, of decorators, frameworks and MCP, and the commands that a run started.",
    (
        Panel(
            "Tool calls",
            "A minute, by tool; also those of an unchanged agent that only their results tell of.",
            "short",
            (Target(f"{rate(_CALLS, _TOOL)} * 60", f"{{{{{_TOOL}}}}}"),),
        ),
        Panel(
            "Tool calls that failed",
            "Share of the calls of each tool.",
            "percentunit",
            (Target(ratio(rate(_CALLS, _TOOL, where=_ERRORS), rate(_CALLS, _TOOL)), f"{{{{{_TOOL}}}}}"),),
            trouble=True,
        ),
        Panel(
            "Failures by tool and type",
            "Calls that failed in the range.",
            "short",
            (Target(f"topk(20, {increase(_CALLS, _TOOL, 'error_type', where=_ERRORS)})"),),
            kind="table",
            trouble=True,
        ),
        Panel(
            "Duration of a tool, p95",
            "Measured ones, by tool. Each dot is an exemplar: a click opens its trace in Jaeger.",
            "s",
            (Target(quantile(0.95, _RUN, _TOOL), f"{{{{{_TOOL}}}}}"),),
            exemplars=True,
        ),
        Panel(
            "Duration of a tool",
            "Quantiles over all measured tools.",
            "s",
            tuple(Target(quantile(q, _RUN), f"p{q * 100:.0f}") for q in (0.5, 0.95, 0.99)),
            exemplars=True,
        ),
        Panel(
            "Results never seen",
            "Calls that a model asked for and whose result never came back to it, in the last hour, by reason.",
            "short",
            (Target(increase("agent.tool.calls.expired", "agent_reason", window="1h"), "{{agent_reason}}"),),
            trouble=True,
        ),
        Panel(
            "Commands",
            "Started by a run, a minute.",
            "short",
            (Target(f"{rate(_RUN, part='_count', where=_COMMAND)} * 60", "commands"),),
            empty="no commands",
        ),
        Panel(
            "Commands that failed",
            "A minute, by type of error.",
            "short",
            (
                Target(
                    f"{rate(_RUN, 'error_type', part='_count', where=f'{_COMMAND}, {_ERRORS}')} * 60", "{{error_type}}"
                ),
            ),
            trouble=True,
        ),
        Panel(
            "Duration of a command",
            "Quantiles.",
            "s",
            tuple(Target(quantile(q, _RUN, where=_COMMAND), f"p{q * 100:.0f}") for q in (0.5, 0.95)),
            empty="no commands",
        ),
        Panel(
            "MCP requests, as the sender sees them",
            "p95 by method.",
            "s",
            (Target(quantile(0.95, _CLIENT, "mcp_method_name"), "{{mcp_method_name}}"),),
            exemplars=True,
            empty="no MCP client",
        ),
        Panel(
            "MCP requests, as the receiver sees them",
            "p95 by method. What is missing to the sender's time is the way between them.",
            "s",
            (Target(quantile(0.95, _SERVER, "mcp_method_name"), "{{mcp_method_name}}"),),
            empty="no MCP server",
        ),
        Panel(
            "MCP requests that failed",
            "A minute, by method and type of error.",
            "short",
            (
                Target(
                    f"{rate(_CLIENT, 'mcp_method_name', 'error_type', part='_count', where=_ERRORS)} * 60",
                    "{{mcp_method_name}} {{error_type}}",
                ),
            ),
            trouble=True,
        ),
    ),
)
