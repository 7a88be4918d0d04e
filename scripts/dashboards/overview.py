# SPDX-License-Identifier: Apache-2.0
"""Agent overview: how many runs, how they ended, what they cost, where their time goes."""

from __future__ import annotations

from .model import Dashboard, Panel, Target
from .promql import increase, mean, quantile, rate, ratio, value

_OK = 'agent_run_outcome="ok"'
_FAILED = 'agent_success="false"'

DASHBOARD = Dashboard(
    "agent-overview",
    "Agent overview",
    "Runs, cycles and states of all agents; start here, then go to a trace by a point of the run duration.",
    (
        Panel(
            "Runs",
            "Runs that ended in the range.",
            "short",
            (Target(increase("agent.runs")),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Runs that ended well",
            "Share of the runs in the range whose outcome is `ok`.",
            "percentunit",
            (Target(ratio(increase("agent.runs", where=_OK), increase("agent.runs"))),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Running now",
            "Runs that are going on.",
            "short",
            (Target(value("agent.runs.active")),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Spend",
            "Price of the model calls in the range. Calls without a known price are not in it.",
            "currencyUSD",
            (Target(increase("agent.cost.usd")),),
            kind="stat",
            width=4,
            empty="no prices: see docs/metrics.md",
        ),
        Panel(
            "Spend for a run that ended well",
            "All spend in the range, also that of failed runs, by the runs that ended well.",
            "currencyUSD",
            (Target(f"{increase('agent.cost.usd')} / ({increase('agent.runs', where=_OK)} > 0)"),),
            kind="stat",
            width=4,
            empty="no prices: see docs/metrics.md",
        ),
        Panel(
            "Cycles in a run",
            "Mean number of cycles of the runs in the range.",
            "short",
            (Target(ratio(increase("agent.run.cycles", part="_sum"), increase("agent.run.cycles", part="_count"))),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Runs by outcome",
            "Runs that ended, a minute. Anything but `ok` spends the error budget of the alerts.",
            "short",
            (Target(f"{rate('agent.runs', 'agent_run_outcome')} * 60", "{{agent_run_outcome}}"),),
        ),
        Panel(
            "Run duration",
            "Quantiles over all agents. Each dot is an exemplar: a click opens its trace in Jaeger.",
            "s",
            tuple(Target(quantile(q, "gen_ai.invoke_agent.duration"), f"p{q * 100:.0f}") for q in (0.5, 0.95, 0.99)),
            exemplars=True,
        ),
        Panel(
            "Run duration by agent, p95",
            "The slow ones of each agent.",
            "s",
            (Target(quantile(0.95, "gen_ai.invoke_agent.duration", "gen_ai_agent_name"), "{{gen_ai_agent_name}}"),),
            exemplars=True,
        ),
        Panel(
            "Cycles by agent",
            "Cycles that began, a minute. A rise without more runs is an agent that goes in circles.",
            "short",
            (Target(f"{rate('agent.cycles', 'gen_ai_agent_name')} * 60", "{{gen_ai_agent_name}}"),),
        ),
        Panel(
            "Cycles in a run, p95",
            "By agent.",
            "short",
            (Target(quantile(0.95, "agent.run.cycles", "gen_ai_agent_name"), "{{gen_ai_agent_name}}"),),
        ),
        Panel(
            "Duration of a cycle, p95",
            "Cycles that the agent marks (`cycle()`), by agent.",
            "s",
            (Target(quantile(0.95, "agent.cycle.duration", "gen_ai_agent_name"), "{{gen_ai_agent_name}}"),),
            empty="no agent marks its cycles",
        ),
        Panel(
            "States entered",
            "How often agents went into each state, a minute.",
            "short",
            (Target(f"{rate('agent.state.entries', 'agent_state')} * 60", "{{agent_state}}"),),
            empty="no agent tells its states",
        ),
        Panel(
            "Time in a state",
            "Mean dwell time by state.",
            "s",
            (Target(mean("agent.state.dwell", "agent_state"), "{{agent_state}}"),),
            empty="no agent tells its states",
        ),
        Panel(
            "Duration of a step, p95",
            "Steps of a plan, by how they ended.",
            "s",
            (Target(quantile(0.95, "agent.step.duration", "agent_step_status"), "{{agent_step_status}}"),),
            empty="no agent tells its steps",
        ),
        Panel(
            "Spend by agent",
            "US dollars an hour.",
            "currencyUSD",
            (Target(f"{rate('agent.cost.usd', 'gen_ai_agent_name')} * 3600", "{{gen_ai_agent_name}}"),),
            empty="no prices: see docs/metrics.md",
        ),
        Panel(
            "What agents do",
            "Model calls, tools and commands that ended, a minute.",
            "short",
            (Target(f"{rate('agent.actions', 'agent_action_type')} * 60", "{{agent_action_type}}"),),
        ),
        Panel(
            "Actions that failed",
            "By type, a minute.",
            "short",
            (Target(f"{rate('agent.actions', 'agent_action_type', where=_FAILED)} * 60", "{{agent_action_type}}"),),
            trouble=True,
        ),
        Panel(
            "Time of an action, p95",
            "By type.",
            "s",
            (Target(quantile(0.95, "agent.latency", "agent_action_type"), "{{agent_action_type}}"),),
            exemplars=True,
        ),
        Panel(
            "Efficiency and entropy",
            "As the agents say of themselves (`update_state_gauges`), mean over all.",
            "short",
            (
                Target(value("agent.efficiency", how="avg"), "efficiency"),
                Target(value("agent.entropy", how="avg"), "entropy"),
            ),
            empty="no agent tells its state",
        ),
        Panel(
            "Gaps, misfits, patches",
            "What the agents still see to do, and the patches that they applied in the last hour.",
            "short",
            (
                Target(value("agent.gaps"), "gaps"),
                Target(value("agent.misfits"), "misfits"),
                Target(increase("agent.patches.applied", window="1h"), "patches"),
            ),
            empty="no agent tells its state",
        ),
    ),
)
