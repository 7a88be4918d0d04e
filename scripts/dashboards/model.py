# SPDX-License-Identifier: Apache-2.0
"""Panels and dashboards, and how Grafana writes them: classic JSON, schema 42, which 12 and 13 load alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["timeseries", "stat", "table", "heatmap"]
_COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Target:
    """An expression and the legend of its series (`{{label}}` is replaced)."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel. ``trouble``: it shows something only where something went wrong. ``width`` in 24ths of the page."""

    title: str
    about: str
    unit: str
    targets: tuple[Target, ...]
    kind: Kind = "timeseries"
    exemplars: bool = False
    trouble: bool = False
    width: int = 8
    empty: str = "nothing in this range"

    def as_json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """What Grafana reads, at a place of its grid."""
        instant = self.kind in {"stat", "table"}
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.about,
            "datasource": DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "fieldConfig": {"defaults": self._field(), "overrides": []},
            "options": self._options(),
            "targets": [
                {
                    "refId": chr(ord("A") + index),
                    "datasource": DATASOURCE,
                    "expr": target.expr,
                    "legendFormat": target.legend or "__auto",
                    "instant": instant,
                    "range": not instant,
                    "exemplar": self.exemplars,
                    "format": {"table": "table", "heatmap": "heatmap"}.get(self.kind, "time_series"),
                }
                for index, target in enumerate(self.targets)
            ],
        }

    @property
    def height(self) -> int:
        """In rows of Grafana's grid."""
        return 4 if self.kind == "stat" else 8

    def _field(self) -> dict[str, Any]:
        field: dict[str, Any] = {"unit": self.unit, "noValue": "none" if self.trouble else self.empty}
        if self.kind == "timeseries":
            field["custom"] = {"drawStyle": "line", "fillOpacity": 10, "showPoints": "never", "spanNulls": 60_000}
            field["min"] = 0
        if self.trouble:
            steps = [{"color": "green", "value": None}, {"color": "red", "value": 1e-9}]
            field["thresholds"] = {"mode": "absolute", "steps": steps}
            field["color"] = {"mode": "thresholds" if self.kind == "stat" else "palette-classic"}
        return field

    def _options(self) -> dict[str, Any]:
        if self.kind == "stat":
            calculations = {"calcs": ["lastNotNull"], "fields": "", "values": False}
            return {"colorMode": "value", "graphMode": "none", "reduceOptions": calculations, "textMode": "auto"}
        if self.kind == "table":
            return {"showHeader": True, "sortBy": [{"displayName": "Value", "desc": True}]}
        if self.kind == "heatmap":
            return {"calculate": False, "yAxis": {"unit": self.unit}, "color": {"scheme": "Oranges"}}
        return {
            "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard: its file is named after ``uid``."""

    uid: str
    title: str
    about: str
    panels: tuple[Panel, ...]
    variables: tuple[str, ...] = ("service", "environment", "agent")

    def as_json(self) -> dict[str, Any]:
        """What Grafana reads."""
        return {
            "uid": self.uid,
            "id": None,
            "title": self.title,
            "description": self.about,
            "tags": ["agents", "otel-agent-instrumentation"],
            "schemaVersion": 42,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "time": {"from": "now-1h", "to": "now"},
            "refresh": "30s",
            "timezone": "",
            "links": [
                {"type": "dashboards", "tags": ["agents"], "title": "Agents", "asDropdown": True, "keepTime": True}
            ],
            "templating": {"list": [_DATASOURCE, *(_variable(name) for name in self.variables)]},
            "annotations": {"list": [_ALERTS]},
            "panels": self._placed(),
        }

    def _placed(self) -> list[dict[str, Any]]:
        placed: list[dict[str, Any]] = []
        x = y = height = 0
        for number, panel in enumerate(self.panels, 1):
            if x + panel.width > _COLUMNS or (height and panel.height != height):
                x, y = 0, y + height
            height = panel.height
            placed.append(panel.as_json(number, x, y))
            x += panel.width
        return placed


_DATASOURCE = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
_ALERTS = {
    "name": "Alerts",
    "enable": True,
    "iconColor": "red",
    "datasource": DATASOURCE,
    "expr": 'ALERTS{alertstate="firing", service_name=~"$service"}',
    "titleFormat": "{{alertname}}",
}
_LABELS = {
    "service": ("Service", "process_memory_usage_bytes", "service_name"),
    "environment": ("Environment", "process_memory_usage_bytes", "deployment_environment_name"),
    "agent": ("Agent", 'agent_runs_total{service_name=~"$service"}', "gen_ai_agent_name"),
}


def _variable(name: str) -> dict[str, Any]:
    title, where, label = _LABELS[name]
    return {
        "name": name,
        "label": title,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": f"label_values({where}, {label})", "refId": name},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",  # also what has no such label
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
    }
