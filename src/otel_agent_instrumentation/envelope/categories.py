# SPDX-License-Identifier: Apache-2.0
"""The registry of event types: group, meaning, and the type of each payload field. What it does not know is marked.

All fields may be absent and others may be added: the types say what a reader finds where they are there.
"""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .. import semconv

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UNKNOWN: Final = "unknown"
"""The group of a type that nobody registered."""
ENTRY_POINTS: Final = "otel_agent_events"
"""Group of entry points: each is an iterable of :class:`Category`."""

_NUMBER: Final = (int, float)
_JSON: Final[dict[type, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
    NoneType: "null",
}


class Category(NamedTuple):
    """One type of event: ``fields`` maps a payload key to its type, one of `str int float bool list dict`."""

    name: str
    """`module.action`, or a word of the document's."""
    group: str
    doc: str
    fields: Mapping[str, type]
    severity: str = "info"
    """Of its log record, where the payload has no `severity`: debug, info, warning, error or critical."""

    def mistyped(self, payload: Mapping[str, Any]) -> list[str]:
        """The fields of ``payload`` that have another type than is said here; a null has none."""
        return [
            key for key, kind in self.fields.items() if (value := payload.get(key)) is not None and not _is(value, kind)
        ]


def _is(value: object, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, _NUMBER if kind is float else kind)


def _group(group: str, *rows: tuple[str, str, dict[str, type]], severity: str = "info") -> tuple[Category, ...]:
    return tuple(Category(name, group, doc, fields, severity) for name, doc, fields in rows)


_TASK: Final[dict[str, type]] = {"goal": str, "priority": str, "persona": str}
_RESULT: Final[dict[str, type]] = {
    "goal": str,
    "outcome": str,
    "quality": float,
    "confidence": float,
    "evidence_added": int,
    "cache_hit": bool,
    "duration_seconds": float,
    "cycles": int,
}
_STAGE: Final[dict[str, type]] = {"summary": str, "persona": str, "model": str}
_STAGE_END: Final[dict[str, type]] = {**_STAGE, "confidence": float, "duration_seconds": float, "citations": int}
_CHANGE: Final[dict[str, type]] = {
    "details": str,
    "action": str,
    "from": str,
    "to": str,
    "reason": str,
    "status": str,
    "duration_seconds": float,
}
_LEVEL: Final[dict[str, type]] = {
    "severity": str,
    "message": str,
    "component": str,
    "metric": str,
    "value": float,
    "threshold": float,
}

_LIFECYCLE = _group(
    "lifecycle",
    ("task_started", "A task begins; a run of the agent's does.", _TASK),
    ("task_completed", "A task has ended well.", _RESULT),
    ("task_progress", "How far a task is.", {"done": float, "total": float, "message": str}),
    ("task_retried", "A task is tried again.", {"attempt": int, "reason": str}),
    ("task_cancelled", "Somebody stopped a task.", {**_RESULT, "reason": str}),
    ("thesis_start", "The proposal is begun.", _STAGE),
    ("thesis_end", "The proposal is there.", _STAGE_END),
    ("antithesis_start", "Its critique is begun.", _STAGE),
    ("antithesis_end", "Its critique is there.", _STAGE_END),
    ("synthesis_start", "The answer is begun.", _STAGE),
    ("synthesis_end", "The answer is there.", _STAGE_END),
    ("eval", "An answer was judged.", {"quality": float, "confidence": float, "score": float, "verdict": str}),
    ("rune", "The judge's verdict on a whole task.", {"impact": float, "transparency": float, "verdict": str}),
    ("replan", "The plan is made anew.", {"reason": str, "attempt": int}),
) + _group(
    "lifecycle",
    ("task_failed", "A task has ended with an error.", {**_RESULT, "error": str, "reason": str}),
    severity="error",
)
_EVIDENCE = _group(
    "evidence",
    ("evidence_search", "Evidence is looked for.", {"query": str, "source": str, "found": int}),
    ("evidence_added", "Evidence was taken up.", {"source": str, "relevance": float, "added": int}),
    ("evidence_rejected", "Evidence was turned down.", {"source": str, "reason": str}),
    (
        "evidence_correction",
        "An answer got the evidence it lacked.",
        {"pass": int, "cache_hit": bool, "added": int, "total_citations": int},
    ),
    (
        "rag_retrieval",
        "Documents were fetched.",
        {"query": str, "results": int, "duration_ms": float, "top_score": float},
    ),
    ("citation_added", "A source is cited.", {"source": str, "citation": str, "total": int}),
)
_CORRECTION = _group(
    "self_correction",
    ("second_pass", "An answer is worked over.", {"reason": str, "quality": float, "improved": bool}),
    ("quality_check", "The quality of an answer was measured.", {"quality": float, "threshold": float, "passed": bool}),
    ("confidence_check", "The same for its confidence.", {"confidence": float, "threshold": float, "passed": bool}),
)
_SYSTEM = _group(
    "system",
    ("system_startup", "A component starts.", {"component": str, "version": str}),
    ("system_shutdown", "A component ends.", {"component": str, "reason": str}),
    ("health_check", "A component says how it is.", {"status": str, "confidence": float, "quality": float}),
    (
        "performance_metric",
        "Measurements at one time (`emit_monitoring_snapshot`).",
        {
            "confidence": float,
            "quality": float,
            "second_pass_rate": float,
            "cpu_percent": float,
            "memory_percent": float,
        },
    ),
    ("chatops_command", "A person gave a command.", {"command": str, "action": str, "user": str}),
)
_INFRASTRUCTURE = _group(
    "infrastructure",
    ("migration", "Something is moved.", {**_CHANGE, "files_moved": int}),
    ("deployment", "A version is put to work.", {**_CHANGE, "version": str}),
    ("rollback", "A change is taken back.", {**_CHANGE, "version": str}),
    ("configuration_change", "A setting was changed.", {**_CHANGE, "key": str}),
    ("scale_event", "More or fewer of something.", {**_CHANGE, "replicas": int}),
)
_LEARNING = _group(
    "learning",
    ("bqi_pattern_learned", "A pattern was learned.", {"pattern": str, "confidence": float, "samples": int}),
    ("bqi_rule_applied", "A learned rule was used.", {"rule": str, "confidence": float}),
    ("binoche_decision", "The evaluator decided.", {"decision": str, "confidence": float, "reason": str}),
    ("ensemble_update", "Weights of judges were changed.", {"weights": dict, "accuracy": float}),
)
_ALERTS = _group(
    "alert",
    ("alert_triggered", "Something needs attention (`emit_alert`).", _LEVEL),
    ("threshold_exceeded", "A measurement is beyond its limit.", _LEVEL),
    ("anomaly_detected", "A measurement is unlike what it was.", {**_LEVEL, "score": float}),
    severity="warning",
) + _group("alert", ("alert_resolved", "It no longer does.", {**_LEVEL, "duration_seconds": float}))
_SESSIONS = _group(
    "session",
    ("session_start", "A session begins; an agent's process does.", {"agent": str, "user": str}),
    ("session_end", "A session is over.", {"agent": str, "runs": int, "duration_seconds": float}),
    (
        "session_harvest_completed",
        "Conversations were gathered.",
        {"date": str, "gitko_count": int, "sena_count": int, "lubit_count": int, "total": int},
    ),
    ("persona_activated", "A persona speaks from here on.", {"persona": str, "reason": str}),
    ("persona_switched", "Another one does.", {"from": str, "to": str, "reason": str}),
)
_RUNS = _group(
    "run",
    (
        semconv.EVENT_PLAN_GENERATED,
        "A plan was made.",
        {"step_count": int, "reasoning_score": float, "selected_tools": list},
    ),
    (semconv.EVENT_STEP_STARTED, "A step of it begins.", {"index": int, "tool": str, "description": str}),
    (semconv.EVENT_STEP_COMPLETED, "It is over.", {"duration_ms": float, "result_summary": str, "status": str}),
    (
        semconv.EVENT_REVIEW_FEEDBACK,
        "A review found something.",
        {"confidence_delta": float, "comments": list, "blocking_issues": list},
    ),
    (semconv.EVENT_REVIEW_DECISION, "Its verdict: accept, revise or abort.", {"decision": str}),
    (semconv.EVENT_PROFILE_SELECTED, "A profile was chosen.", {"hardware_signature": str, "profile": str}),
    (semconv.EVENT_BENCHMARK_COMPLETED, "A model was measured.", {"tokens_per_s": float, "latency_ms": float}),
    (semconv.EVENT_STATE_ENTERED, "The agent went into a state.", {"state": str}),
    (semconv.EVENT_STATE_EXITED, "It left it.", {"state": str, "dwell_ms": float}),
    (semconv.EVENT_COMMAND_STARTED, "A command runs.", {"command": str, "arguments": list}),
    (
        semconv.EVENT_COMMAND_COMPLETED,
        "A command has ended.",
        {"command": str, "outcome": str, "exit_code": int, "duration_ms": float},
    ),
    (
        semconv.EVENT_EXECUTOR_ERROR,
        "A command could not be run to its end.",
        {"command": str, "exception": str, "message": str, "handled": bool},
    ),
    *((name, "An active run did that to a file.", {"path": str}) for name in semconv.EVENT_ARTIFACTS.values()),
)

BUILTIN: Final = (
    *_LIFECYCLE,
    *_EVIDENCE,
    *_CORRECTION,
    *_SYSTEM,
    *_INFRASTRUCTURE,
    *_LEARNING,
    *_ALERTS,
    *_SESSIONS,
    *_RUNS,
)
"""The categories of this package, group by group."""

_known: dict[str, Category] = {row.name: row for row in BUILTIN}


def find(name: str) -> Category | None:
    """The category called ``name``, if anybody registered it."""
    return _known.get(name)


def register(rows: Iterable[Category]) -> None:
    """Add categories; one that is known already stays as it is."""
    for row in rows:
        _known.setdefault(row.name, row)


def schema() -> dict[str, Any]:
    """A JSON Schema (2020-12) of the payloads: a definition for each known category, by its name."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Payloads of ledger events by their type",
        "$defs": {name: _payload(row) for name, row in sorted(_known.items())},
    }


def _payload(row: Category) -> dict[str, Any]:
    return {
        "description": row.doc,
        "type": "object",
        "properties": {key: {"type": [_JSON[kind], "null"]} for key, kind in row.fields.items()},
        "x-group": row.group,
    }
