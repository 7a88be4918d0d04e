# SPDX-License-Identifier: Apache-2.0
"""``python -m dashboards.picture URL UID SECONDS`` (from `scripts/`): a dashboard as SVG, as a Prometheus answers it.

Not Grafana's drawing: the same panels, places and expressions, over the last SECONDS.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from html import escape
from typing import TYPE_CHECKING, Any

from .__main__ import ALL

if TYPE_CHECKING:
    from .model import Dashboard

_CELL_X, _CELL_Y, _GAP = 48, 26, 6
_COLOURS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#e02f44", "#b877d9", "#8ab8ff", "#ffb357")
_SHOWN = 5
_LETTER = 6.2
"""About as wide as a letter of size 10 is."""
_LARGE = 1000


def _ask(url: str, kind: str, **query: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{url}/api/v1/{kind}?{urllib.parse.urlencode(query)}", timeout=10) as answer:  # noqa: S310
        return json.load(answer)["data"]["result"]


def _filled(expression: str, seconds: int) -> str:
    expression = re.sub(r"\$(service|environment|agent)\b", ".*", expression)
    return expression.replace("$__rate_interval", "10s").replace("$__range", f"{seconds}s")


def _words(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "currencyUSD":
        return f"${value:.3g}"
    if unit == "s":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    return f"{value:,.0f}" if value >= _LARGE else f"{value:.3g}"


def _text(x: float, y: float, words: str, size: int = 11, colour: str = "#ccccdc") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{colour}">{escape(words)}</text>'


def _panel(url: str, panel: dict[str, Any], now: float, seconds: int) -> str:
    place, unit = panel["gridPos"], panel["fieldConfig"]["defaults"]["unit"]
    x, y = place["x"] * _CELL_X, place["y"] * _CELL_Y + 40
    wide, high = place["w"] * _CELL_X - _GAP, place["h"] * _CELL_Y - _GAP
    drawn = [f'<rect x="{x}" y="{y}" width="{wide}" height="{high}" rx="3" fill="#181b1f" stroke="#2c3235"/>']
    drawn.append(_text(x + 10, y + 18, panel["title"], 12))
    if panel["type"] == "stat":
        found = _ask(url, "query", query=_filled(panel["targets"][0]["expr"], seconds), time=str(now))
        value = _words(float(found[0]["value"][1]), unit) if found else panel["fieldConfig"]["defaults"]["noValue"]
        return "".join([*drawn, _text(x + 12, y + 66, value, 28 if found else 13, "#73bf69")])
    lines: list[tuple[str, list[tuple[float, float]]]] = []
    for target in panel["targets"]:
        query = _filled(target["expr"], seconds)
        for series in _ask(url, "query_range", query=query, start=str(now - seconds), end=str(now), step="1"):
            legend = re.sub(
                r"\{\{(\w+)\}\}", lambda name, of=series: of["metric"].get(name[1], ""), target["legendFormat"]
            )
            points = [(float(at), float(value)) for at, value in series["values"]]
            lines.append((legend, [point for point in points if math.isfinite(point[1])]))
    if not lines:
        return "".join([*drawn, _text(x + 12, y + high / 2, panel["fieldConfig"]["defaults"]["noValue"])])
    lines.sort(key=lambda line: -sum(value for _, value in line[1]))
    most = max((value for _, points in lines for _, value in points), default=1) or 1
    left, top, right, bottom = x + 60, y + 30, x + wide - 12, y + high - 34
    for share in (0, 0.5, 1):
        at = bottom - (bottom - top) * share
        drawn.append(f'<line x1="{left}" x2="{right}" y1="{at:.0f}" y2="{at:.0f}" stroke="#2c3235"/>')
        drawn.append(_text(x + 8, at + 4, _words(most * share, unit), 10, "#8e8e99"))
    word_at = float(left)
    for number, (legend, points) in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        where = " ".join(
            f"{left + (at - now + seconds) / seconds * (right - left):.1f},{bottom - value / most * (bottom - top):.1f}"
            for at, value in points
        )
        drawn.append(f'<polyline points="{where}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if number < _SHOWN:
            drawn.append(_text(word_at, y + high - 12, legend[:16], 10, colour))
            word_at += _LETTER * len(legend[:16]) + 10
    return "".join(drawn)


def picture(url: str, board: Dashboard, seconds: int) -> str:
    """The dashboard as SVG."""
    now, panels = time.time(), board.as_json()["panels"]
    high = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * _CELL_Y + 50
    body = "\n".join(_panel(url, panel, now, seconds) for panel in panels)
    wide = 24 * _CELL_X + 10
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 0 {wide} {high}"',
            ' font-family="DejaVu Sans, Helvetica, Arial, sans-serif">',
            '<rect x="-8" width="100%" height="100%" fill="#111217"/>',
            _text(4, 26, board.title, 18),
            body,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    _url, _uid, _seconds = sys.argv[1:]
    (_board,) = (board for board in ALL if board.uid == _uid)
    print(picture(_url, _board, int(_seconds)), end="")
