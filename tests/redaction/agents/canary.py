# SPDX-License-Identifier: Apache-2.0
"""The demo's agent with secrets planted wherever an agent may have some, and an exporter that its code adds at the end.

Arguments: the folder of the examples, a file with the secrets by place, a file for what the added exporter is given,
the endpoint of a gRPC backend, and `faulty` where redaction is to raise on every third text.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import urllib.request
import zlib
from pathlib import Path
from typing import Any

from opentelemetry import _logs, metrics, trace
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

import otel_agent_instrumentation as ours

EXAMPLES, PLANTED, OWN, GRPC, FAULTY = (*sys.argv[1:5], sys.argv[5:] == ["faulty"])
SPARED = 1  # where checksums start: so, no name that the test of the structure looks for is among those that raise
sys.path.insert(0, EXAMPLES)
import coding_agent  # noqa: E402 # pyright: ignore[reportMissingImports] - of the examples
import workspace  # noqa: E402 # pyright: ignore[reportMissingImports]

SECRETS: dict[str, list[str]] = json.loads(Path(PLANTED).read_text(encoding="utf-8"))


def planted(place: str) -> str:
    return "\n".join(f"- {secret}" for secret in SECRETS[place])


class Own(SpanExporter):
    """Writes all that it is given."""

    def export(self, spans: Any) -> SpanExportResult:
        with Path(OWN).open("a", encoding="utf-8") as file:
            file.writelines(f"{span.to_json(indent=None)} {span.name} {span.status.description}\n" for span in spans)
        return SpanExportResult.SUCCESS


def break_redaction() -> None:
    from otel_agent_instrumentation.redaction.policy import default_policy

    shared = default_policy()._shared
    find = shared.ready()

    def faulty(text: str, judge: Any) -> Any:
        # By the text: a count would depend on which thread looks first, and may hit a name that stands once.
        if zlib.crc32(text.encode(errors="replace"), SPARED) % 3 == 0:
            raise ValueError(text)
        return find(text, judge)

    shared.find = faulty


def fail(message: str) -> None:
    raise ValueError(message)


@ours.tool
def look_up(what: str) -> str:
    """A tool whose argument and result are secrets."""
    return f"found {what}"


def own_code() -> None:
    """What the application itself tells OpenTelemetry: spans, exceptions, links, logs, metrics, URLs."""
    provider: Any = trace.get_tracer_provider()
    tracer = provider.get_tracer("app")
    link = Link(SpanContext(7, 8, is_remote=True), {"note": planted("link")})
    with tracer.start_as_current_span("app work", links=[link], attributes={"input": planted("attribute")}) as span:
        for number, url in enumerate(SECRETS["url"]):
            span.set_attribute(f"url.full.{number}", f"https://example.org/callback?x={url}&y=1")
        span.add_event("note", {"text": planted("event")})
        try:
            fail(planted("exception"))
        except ValueError as error:
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, str(error)))
            _logs.get_logger("app").emit(
                body=planted("log"), attributes={"detail": planted("log attribute")}, exception=error
            )
    tracer.start_span(f"span of {SECRETS['name'][0]}").end()
    metrics.get_meter("app").create_counter("app.things").add(1, {"label": SECRETS["label"][0], "kind": "thing"})
    logging.getLogger("otel_agent_instrumentation").warning("our own line: %s", planted("own log"))
    with ours.run("canary", task=planted("run"), metadata={"note": planted("run")}):
        subprocess.run([sys.executable, "-c", "pass", *SECRETS["command"]], check=True)
        with ours.plan() as plan, ours.step(planted("run")) as step:
            plan.step_count = 1
            step.result = planted("run")
        look_up(planted("tool"))
        # To a server in another process, which fails and says why: both sides tell what was asked and answered.
        asyncio.run(workspace._ask("check_style", {"content": f"re.match()[0]\n{planted('mcp')}"}))
        asyncio.run(workspace._ask("check_style", {"content": planted("mcp")}))


def main() -> int:
    if FAULTY:
        break_redaction()
    coding_agent.say = lambda who, text: None
    coding_agent.TASK = f"{coding_agent.TASK}\n\nNotes:\n{planted('prompt')}"
    real = workspace.Workspace.use
    workspace.Workspace.use = lambda self, name, arguments: f"{real(self, name, arguments)}\n{planted('tool result')}"
    code = coding_agent.main()
    own_code()
    provider: Any = trace.get_tracer_provider()
    provider.add_span_processor(SimpleSpanProcessor(Own()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=GRPC, insecure=True)))
    logs: Any = _logs.get_logger_provider()
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=GRPC, insecure=True)))
    own_code()
    coding_agent.main()
    provider.force_flush()
    logs.force_flush()
    scrape()
    return code


def scrape() -> None:
    """What whoever reads `/metrics` is given."""
    url = f"http://127.0.0.1:{os.environ['OTEL_EXPORTER_PROMETHEUS_PORT']}/metrics"
    with urllib.request.urlopen(url, timeout=60) as answer:
        Path("scraped.txt").write_bytes(answer.read())


if __name__ == "__main__":
    sys.exit(main())
