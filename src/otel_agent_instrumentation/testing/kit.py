# SPDX-License-Identifier: Apache-2.0
"""The integration kit: what every client's integration has to keep, as tests that a contributor inherits.

Subclass `IntegrationKit` as ``TestYourClient`` in a test file and supply what `Subject` declares: how the client is
made and called, what the provider answers, which facts that has. `docs/adding-an-integration.md` shows one. A test
that cannot hold for a client is set to None in the subclass, with the reason beside it.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import subprocess
import sys
import time
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from .. import config, semconv
from ..core import patching
from ..core.suppress import suppress
from . import kit_parts, lines
from .capture import capture
from .kit_parts import Use
from .kit_subject import Subject, facts, place, raised

if TYPE_CHECKING:
    from .provider import Provider

__all__ = ["IntegrationKit", "Use"]

_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_ORDER = "import sys; sys.path[:] = {path!r}; from {module} import play_in_order; play_in_order(*sys.argv[1:])"
_both = pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])


class IntegrationKit(Subject):
    """Tests for one client's integration."""

    # --- facts --------------------------------------------------------------------------------------------------------

    @_both
    def test_a_call_has_its_facts(self, provider: Provider, *, later: bool) -> None:
        """One CLIENT span, named by operation and model, with the expected attributes and the server's address."""
        with capture(only=[self.name]) as captured:
            self.play(provider.url, later=later)
            span = captured.span()
        assert facts(span, self.expected) == self.expected
        attributes = dict(span.attributes or {})
        assert span.name == f"{attributes[semconv.OPERATION_NAME]} {attributes[semconv.REQUEST_MODEL]}"
        assert (span.kind, span.status.status_code) == (SpanKind.CLIENT, StatusCode.UNSET)
        assert f"http://{attributes[semconv.SERVER_ADDRESS]}:{attributes[semconv.SERVER_PORT]}" == provider.url

    @_both
    def test_a_drained_stream_has_its_facts(self, provider: Provider, *, later: bool) -> None:
        """One span, ended at the end of the stream, with tokens, chunks and the time to the first of them."""
        provider.reply = self.streamed
        with capture(only=[self.name]) as captured:
            self.play(provider.url, later=later, streamed=True)
            span = captured.span()
        assert facts(span, self.expected_of_stream) == self.expected_of_stream
        attributes = dict(span.attributes or {})
        assert span.status.status_code is StatusCode.UNSET
        assert attributes[semconv.REQUEST_STREAM] is True
        assert semconv.RESPONSE_TIME_TO_FIRST_CHUNK in attributes
        assert semconv.STREAM_END not in attributes

    def test_metrics_sum_up(self, provider: Provider) -> None:
        """Tokens equal what was answered, once; every call has its duration, every stream its first chunk."""
        with capture(only=[self.name]) as captured:
            self.play_all(provider)
            tokens = captured.tokens()
            calls = sum(point.count for point in captured.points(semconv.FLAVOURS["1.41"].duration))
            streams = sum(point.count for point in captured.points(semconv.FLAVOURS["1.41"].time_to_first_chunk))
        names = {"input": semconv.USAGE_INPUT_TOKENS, "output": semconv.USAGE_OUTPUT_TOKENS}
        plain, streamed = self.expected, self.expected_of_stream
        assert tokens == {kind: 2 * (plain[name] + streamed[name]) for kind, name in names.items()}
        assert (calls, streams) == (4, 2)

    def test_the_ledger_has_its_line(self, provider: Provider) -> None:
        """One `span.ended` line with the same facts, in a file that keeps the schema."""
        with capture(only=[self.name]) as captured:
            self.play(provider.url)
            told = [line.payload["attributes"] for line in captured.lines() if line.event == semconv.EVENT_SPAN_ENDED]
        (attributes,) = (one for one in told if semconv.PROVIDER_NAME in one)
        assert {name: attributes.get(name) for name in self.expected} == self.expected
        files = list(Path(config.Settings().ledger_dir).glob("*.jsonl"))
        assert [problem for file in files for problem in lines.check_file(file)] == []

    # --- ways out -----------------------------------------------------------------------------------------------------

    @_both
    def test_an_error_is_the_callers_and_is_told(self, provider: Provider, *, later: bool) -> None:
        """The caller's exception is the client's own; the span is ERROR with its class."""
        provider.reply = self.refused
        bare = raised(partial(self.play, provider.url, later=later))
        with capture(only=[self.name]) as captured:
            seen = raised(partial(self.play, provider.url, later=later))
            span = captured.span()
        assert (type(seen), str(seen)) == (type(bare), str(bare))
        assert span.status.status_code is StatusCode.ERROR
        assert dict(span.attributes or {})[semconv.ERROR_TYPE] == type(seen).__qualname__

    @_both
    def test_a_retry_is_told(self, provider: Provider, *, later: bool) -> None:
        """One span for all attempts, the failed ones counted and told, the tokens counted once."""
        provider.enqueue(self.busy)
        with capture(only=[self.name]) as captured:
            self.play(provider.url, later=later, retries=2)
            span, tokens = captured.span(), captured.tokens()
        assert dict(span.attributes or {})[semconv.RETRY_COUNT] == 1
        attempts = [dict(event.attributes or {}) for event in span.events if event.name == semconv.EVENT_ATTEMPT]
        assert attempts == [{semconv.HTTP_STATUS: self.busy.status}]
        assert tokens["input"] == self.expected[semconv.USAGE_INPUT_TOKENS]

    def test_a_cancelled_call_is_told(self, provider: Provider) -> None:
        """A task that is cancelled while it waits: ERROR with `CancelledError`, which the caller sees."""
        provider.reply = self.reply.but(hang=True)

        async def cancelled() -> None:
            client = self.async_client(provider.url)
            task = asyncio.ensure_future(self.acall(client))
            assert await asyncio.to_thread(provider.wait_for, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await client.close()

        with capture(only=[self.name]) as captured:
            asyncio.run(cancelled())
            span = captured.span()
        assert span.status.status_code is StatusCode.ERROR
        assert dict(span.attributes or {})[semconv.ERROR_TYPE] == "CancelledError"

    @pytest.mark.parametrize("how", ["closed", "abandoned"])
    def test_a_stream_that_is_left_is_told(self, provider: Provider, how: str) -> None:
        """Closed or dropped after its first chunk: no error, what was seen is kept, how it was left is told."""
        provider.reply = self.streamed
        client = self.client(provider.url)
        with capture(only=[self.name]) as captured:
            stream = self.stream(client)
            next(iter(stream))
            if how == "closed":
                stream.close()
            del stream
            gc.collect()
            deadline = time.monotonic() + 5
            while not captured.spans() and time.monotonic() < deadline:
                time.sleep(0.01)
            span = captured.span()
        client.close()
        attributes = dict(span.attributes or {})
        assert (span.status.status_code, attributes[semconv.STREAM_END]) == (StatusCode.UNSET, how)
        assert attributes[semconv.RESPONSE_MODEL] == self.expected_of_stream[semconv.RESPONSE_MODEL]

    # --- no harm ------------------------------------------------------------------------------------------------------

    def test_the_callers_arguments_are_not_changed(self, provider: Provider) -> None:
        """What the caller handed in is equal before and after, at any depth."""
        before = copy.deepcopy(self.request)
        with capture(only=[self.name]):
            self.play_all(provider)
        assert self.request == before

    def test_request_and_answer_are_the_same_with_and_without_us(self, provider: Provider) -> None:
        """The bytes on the wire and what the caller sees are equal: before, while instrumented, and after."""
        seen: list[object] = []
        for instrumented in (False, True, False):
            provider.clear()
            if instrumented:
                with capture(only=[self.name]):
                    answers = self.play_all(provider)
            else:
                answers = self.play_all(provider)
            seen.append((answers, [kit_parts.wire(request) for request in provider.requests]))
        assert seen[0] == seen[1] == seen[2]

    def test_uninstrument_puts_the_originals_back(self) -> None:
        """Every seam of this version is patched, and afterwards the very object is there that was there before."""
        seams = self.integration().seams
        before = [place(seam.module, seam.attribute) for seam in seams]
        with capture(only=[self.name]):
            states = {seam.attribute: state for who, seam, state in patching.states() if who == self.name}
        unpatched = [s.attribute for s in seams if not s.optional and states[s.attribute] != "patched"]
        assert unpatched == [], f"seams that this version lacks and that are not optional: {unpatched}"
        after = [place(seam.module, seam.attribute) for seam in seams]
        changed = [s.attribute for s, old, new in zip(seams, before, after, strict=True) if old is not new]
        assert changed == [], f"seams that are not what they were: {changed}"

    @pytest.mark.parametrize("order", ["first", "last"])
    def test_the_order_of_imports_does_not_matter(self, provider: Provider, order: str) -> None:
        """In a fresh process, instrumented before the client is imported, or after."""
        file = sys.modules[type(self).__module__].__file__
        program = _ORDER.format(path=sys.path, module=kit_parts.__name__)
        command = [sys.executable, "-c", program, order, self.name, str(file), type(self).__name__, provider.url]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - ours
        assert (done.returncode, done.stdout) == (0, "1 told\n"), done.stderr

    # --- switches -----------------------------------------------------------------------------------------------------

    def test_suppress_leaves_no_trace(self, provider: Provider) -> None:
        """No span, no metric and no line of the calls in the block."""
        with capture(only=[self.name]) as captured:
            with suppress():
                self.play_all(provider)
            left = (captured.spans(), captured.tokens(), captured.lines())
        assert left == ([], {}, [])

    def test_disabled_is_not_patched(self, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
        """`OTEL_AGENT_DISABLED` leaves the client as it is."""
        monkeypatch.setenv("OTEL_AGENT_DISABLED", self.name)
        seams = {f"{seam.module}.{seam.attribute}" for seam in self.integration().seams}
        with capture() as captured:
            self.play_all(provider)
            assert not seams & set(patching.patched())
            assert captured.spans() == []

    @pytest.mark.parametrize("mode", config.CONTENT_MODES)
    def test_content_leaves_only_where_it_is_on(
        self, provider: Provider, mode: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Off: the words of request and answer are nowhere. On: they are where they were asked for."""
        monkeypatch.setenv(_CONTENT, mode)
        with capture(only=[self.name]) as captured:
            self.play_all(provider)
            spans = [span.to_json() for span in captured.spans(roots=True)]
            events = [json.dumps(dict(log.attributes), default=str) for log in captured.logs()]
        ledger = [file.read_text() for file in Path(config.Settings().ledger_dir).glob("*.jsonl")]
        for word in self.said:
            assert any(word in text for text in spans) is (mode in {"SPAN_ONLY", "SPAN_AND_EVENT"}), word
            assert any(word in text for text in events) is (mode in {"EVENT_ONLY", "SPAN_AND_EVENT"}), word
            assert any(word in text for text in ledger) is (mode != "NO_CONTENT"), word

    # --- completeness -------------------------------------------------------------------------------------------------

    @_both
    def test_every_public_method_is_covered_or_declined(self, *, later: bool) -> None:
        """A method that a new version of the client brings is a decision, not an oversight."""
        client = (self.async_client if later else self.client)("http://127.0.0.1:9")
        found = self.methods(client)
        assert found
        listed = (*self.covered, *self.declined)
        left = [path for path in found if not any(fnmatchcase(path, pattern) for pattern in listed)]
        assert left == [], f"neither covered nor declined: {left}"

    @_both
    def test_every_covered_method_is_one_call(self, provider: Provider, *, later: bool) -> None:
        """Each covered method that this version has, called as its user would: one span that has its answer."""
        with capture(only=[self.name]) as captured:
            told = (
                asyncio.run(self.use_covered_later(provider, captured))
                if later
                else self.use_covered(provider, captured)
            )
        assert told
        wrong = {path: found for path, found in told.items() if found != ["answered"]}
        assert wrong == {}, f"calls that were told, by method: {wrong}"
