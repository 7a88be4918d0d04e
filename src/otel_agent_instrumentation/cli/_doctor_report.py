# SPDX-License-Identifier: Apache-2.0
"""What doctor found, as data, and its two ways out: plain text and JSON. Both go through the redaction policy."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from .. import __version__
from ..core import contain
from ..redaction.policy import default_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Mark = Literal["ok", "note", "warning", "problem"]

_SCOPE: Final = (
    "What this environment (folder, variables, installed packages) would do. Looked at in a process of doctor's own:\n"
    "a running agent's patches and faults are its own, and told by its log and its ledger."
)
REPORT_IT: Final = "mend what the checks above name; if it stays, report it, with `otel-agent doctor --json`."


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. A ``problem`` means that something asked for will not happen; ``mend`` says what to do about it."""

    mark: Mark
    text: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Findings about one thing."""

    name: str
    title: str
    findings: tuple[Finding, ...]


@dataclass(slots=True)
class Report:
    """All sections, in the order of reading."""

    sections: list[Section] = field(default_factory=list[Section])

    def add(self, name: str, title: str, look: Callable[[], Iterable[Finding]]) -> None:
        """Add the section that ``look`` finds. A fault of doctor's own is a problem in its place, and not the end."""
        findings: list[Finding] = []
        error = attempt(name, lambda: findings.extend(look()))
        if error is not None:
            findings.append(Finding("problem", f"this check itself failed: {error}", REPORT_IT))
        self.sections.append(Section(name, title, tuple(findings)))

    def count(self, mark: Mark) -> int:
        """How many findings have ``mark``."""
        return sum(finding.mark == mark for section in self.sections for finding in section.findings)

    def text(self) -> str:
        """For a person."""
        clean = default_policy().text
        lines = [f"otel-agent doctor {__version__}", _SCOPE]
        for section in self.sections:
            lines += ["", section.title]
            for finding in section.findings:
                lines.append(f"  {finding.mark:8}{clean(finding.text)}")
                if finding.mend:
                    lines.append(f"  {'':8}to mend: {clean(finding.mend)}")
        return "\n".join([*lines, "", self._verdict()])

    def json(self) -> str:
        """For a program: `ok`, the counts, and the sections with their findings."""
        document: dict[str, Any] = {
            "version": __version__,
            "ok": not self.count("problem"),
            "problems": self.count("problem"),
            "warnings": self.count("warning"),
            "sections": [
                {
                    "name": section.name,
                    "title": section.title,
                    "findings": [{"mark": f.mark, "text": f.text, "mend": f.mend} for f in section.findings],
                }
                for section in self.sections
            ],
        }
        told, _ = default_policy().payload(document)
        return json.dumps(told, indent=2, ensure_ascii=False)

    def _verdict(self) -> str:
        problems, warnings = self.count("problem"), self.count("warning")
        if not problems:
            return f"All is well, with {_many(warnings, 'warning')}." if warnings else "All is well."
        return f"{_many(problems, 'problem')}, {_many(warnings, 'warning')}."


def attempt(site: str, function: Callable[[], object]) -> str | None:
    """Run somebody else's code: the class and first line of what it raised, or None."""
    raised: list[str] = []

    def noted() -> None:
        try:
            function()
        except BaseException as error:
            raised.append(f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}")
            if not isinstance(error, SystemExit):
                raise

    contain.call(f"doctor.{site}", noted)
    return raised[0] if raised else None


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
