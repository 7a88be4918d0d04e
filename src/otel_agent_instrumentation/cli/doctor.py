# SPDX-License-Identifier: Apache-2.0
"""Tell what is installed and patched, where telemetry goes, what is not well and how to mend it.

Exit code 0: no problem (warnings are allowed), 1: at least one problem, 2: wrong usage.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from .. import config
from . import _doctor_packages as packages
from ._doctor_quiet import quiet
from ._doctor_report import REPORT_IT, Finding, Report, attempt

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ..config import Settings

_PROBLEMS = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `otel-agent doctor`."""
    parser.add_argument("--json", action="store_true", help="for a program")
    parser.add_argument("--options", action="store_true", help="list every setting instead: name, variable, default")
    parser.add_argument("--no-self-test", action="store_true", help="make no call to a provider on loopback")


def run(options: argparse.Namespace) -> int:
    """Look, tell, and return the exit code. Never raises."""
    if options.options:
        sys.stdout.write(f"{_options(as_json=options.json)}\n")
        return 0
    report = Report()
    with quiet() as heard:
        settings = config.load()
        _environment(report, settings)
        if settings.sdk_disabled:
            told = Finding("warning", "OTEL_SDK_DISABLED is true: nothing is patched, recorded or written", _UNSET)
            report.add("patches", "Patches", lambda: [told])
        else:
            error = attempt("trial", lambda: _process(report, settings, test=not options.no_self_test))
            if error is not None:
                told = Finding("problem", f"this process could not be instrumented: {error}", REPORT_IT)
                report.add("trial", "Trial", lambda: [told])
        report.add("exporters", "Exporters", lambda: _exporters(settings))
        report.add("ledger", "Ledger", lambda: _ledger(settings))
    logged = [Finding("warning", text, "see what it names.") for text in heard.lines.values()]
    if logged:
        report.add("log", "Logged by OpenTelemetry meanwhile (values left out)", lambda: logged)
    sys.stdout.write(f"{report.json() if options.json else report.text()}\n")
    return _PROBLEMS if report.count("problem") else 0


_UNSET = "unset it, unless this is meant."


def _environment(report: Report, settings: Settings) -> None:
    report.add("packages", "Python and packages", packages.packages)
    report.add("startup", "Start-up under opentelemetry-instrument", lambda: packages.startup(config.launcher()))
    report.add("configuration", "Configuration", lambda: _configuration(settings))
    report.add("clients", "Clients", packages.clients)


def _configuration(settings: Settings) -> Iterator[Finding]:
    from ..bootstrap import ledger

    warnings = (*settings.warnings, *ledger.warnings(settings))
    for warning in warnings:
        yield Finding("warning", warning, "correct it there; `otel-agent doctor --options` lists what there is.")
    if not warnings:
        yield Finding("ok", "every setting that was given is understood")


# What needs the SDK is imported inside a check: doctor has something to say where the SDK is missing or broken, too.
def _exporters(settings: Settings) -> Iterator[Finding]:
    from ._doctor_exporters import exporters

    return exporters(settings)


def _ledger(settings: Settings) -> Iterator[Finding]:
    from ._doctor_exporters import ledger

    return ledger(settings)


def _process(report: Report, settings: Settings, *, test: bool) -> None:
    from . import _doctor_trial as trial
    from ._doctor_self_test import faults, self_test

    taken = trial.already_instrumented()
    with trial.trial(settings) as process:
        report.add("patches", "Patches", lambda: trial.seams(process, settings))
        report.add("neighbours", "Other instrumentations of the same clients", _neighbours)
        report.add("guard", "Redaction", lambda: trial.guard(process, settings))
        if taken:
            report.add("self_test", "Self-test", lambda: [_TAKEN])
        elif test:
            report.add("self_test", "Self-test", lambda: self_test(process, settings))
    report.add("faults", "Faults of our own meanwhile", faults)


_TAKEN = Finding(
    "warning",
    "left out: this process is instrumented already, and the test's calls would reach its exporters",
    "run `otel-agent doctor` by itself, not under opentelemetry-instrument.",
)


def _neighbours() -> Iterator[Finding]:
    from ..integrations import _neighbours as others

    found = others.report()
    for it in found:
        what = f"{it.neighbour.client}: {it.neighbour.vendor} ({it.neighbour.distribution} {it.version})"
        if it.state == "active":
            yield Finding(
                "warning",
                f"{what} is active and cannot be taken off: calls inside its spans are its own, others otel-agent's",
                f"uninstall it, or leave all to it by OTEL_AGENT_DISABLED={it.neighbour.client}.",
            )
        else:
            yield Finding("note", f"{what} is {it.state}; spans and tokens of its calls: {it.owner}'s")
    if not found:
        yield Finding("ok", "none installed")


def _options(*, as_json: bool) -> str:
    defaults = config.defaults()
    rows = [{"name": o.name, "variables": o.env, "default": defaults[o.name], "doc": o.doc} for o in config.OPTIONS]
    if as_json:
        return json.dumps(rows, indent=2)
    return "\n\n".join(
        f"{row['name']} (default: {_default(row['default'])})\n  {', '.join(row['variables'])}\n  {row['doc']}"
        for row in rows
    )


def _default(value: Any) -> str:
    if value is None:
        return "depends on the rest"
    return "none" if value in ("", ()) else str(value).lower() if isinstance(value, bool) else str(value)
