# SPDX-License-Identifier: Apache-2.0
"""What a metric and a label are called in Prometheus, by its own rules for OTel's names (otlptranslator 1.0).

The same names come out of `/metrics` and of Prometheus' OTLP receiver, so that a dashboard serves both.
"""

from __future__ import annotations

import re
from functools import lru_cache

_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_:]")
_NOT_A_LABEL = re.compile(r"[^a-zA-Z0-9_]")
_UNITS = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "min": "minutes",
    "h": "hours",
    "d": "days",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "kBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "%": "percent",
    "Hz": "hertz",
    "Cel": "celsius",
    "J": "joules",
    "W": "watts",
    "V": "volts",
    "A": "amperes",
    "m": "meters",
    "g": "grams",
}


@lru_cache(maxsize=4096)
def prometheus_name(name: str, unit: str, *, counter: bool = False, gauge: bool = False) -> str:
    """The family's name: dots become underscores, the unit is spelt out at the end, a counter ends in `_total`.

    A unit in braces (`{token}`) is none; `1` makes a gauge a `_ratio`. What the name says already is not said again.
    """
    made = _NOT_A_NAME.sub("_", name)
    if made[:1].isdigit():
        made = f"_{made}"
    words = made.split("_")
    unit = re.sub(r"\{[^}]*\}", "", unit)
    if unit == "1":
        ends = ["ratio"] if gauge else []
        words = [word for word in words if word not in ends]
    else:
        main, _, per = unit.partition("/")
        told = [_UNITS.get(main, main)] + ([f"per_{_UNITS.get(per, per).removesuffix('s')}"] if per else [])
        ends = [_NOT_A_NAME.sub("_", word) for word in told if word and word not in words]
    if counter:
        words, ends = [word for word in words if word != "total"], [*ends, "total"]
    return "_".join([*words, *ends])


@lru_cache(maxsize=4096)
def prometheus_label(name: str) -> str:
    """The label's name."""
    made = _NOT_A_LABEL.sub("_", name)
    return f"key_{made}" if made[:1].isdigit() else made
