# SPDX-License-Identifier: Apache-2.0
"""Of images, sounds and files the digest and the size of their bytes are told, the bytes nowhere."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from left import everything
from otel_agent_instrumentation import run, semconv, tool
from otel_agent_instrumentation.core import media
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import anthropic_message, openai_chat, openai_responses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients import Scene
    from otel_agent_instrumentation.testing.capture import Captured

MODE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_seeds = iter(range(1000))


class Medium:
    """Bytes that are found nowhere else: what is told of them, and how they are written."""

    def __init__(self, media_type: str = "image/png") -> None:
        self.raw = random.Random(next(_seeds)).randbytes(700)  # noqa: S311 - no secret
        self.media_type = media_type
        self.base64 = base64.b64encode(self.raw).decode()
        self.url = f"data:{media_type};base64,{self.base64}"

    def part(self, modality: str = "image", **more: str) -> dict[str, Any]:
        """The part that stands for it."""
        facts = {"sha256": hashlib.sha256(self.raw).hexdigest(), "size": 700, "mime_type": self.media_type}
        return {"type": "blob", "modality": modality, **facts, **more}

    def short(self, media_type: str = "") -> str:
        """What stands for it within a text."""
        return f"data:{media_type};size=700;sha256={hashlib.sha256(self.raw).hexdigest()}"

    def forms(self) -> Iterator[str]:
        """Every form of its bytes that could stand in a text: a beginning and a middle of each encoding."""
        for data in (self.raw, self.raw[1:], self.raw[2:]):
            text = base64.b64encode(data).decode()
            for whole in (text, text.replace("/", "\\/"), text.replace("+", "-").replace("/", "_")):
                yield from (whole[200:220], whole[600:620])
        yield repr(self.raw)[100:120]
        yield self.raw.hex()[100:120]


def check(captured: Captured, media: list[Medium]) -> None:
    """Nothing of the bytes left."""
    for place, text in everything(captured).items():
        for number, medium in enumerate(media):
            assert not [form for form in medium.forms() if form in text], (place, number)


def told(captured: Captured, name: str = semconv.INPUT_MESSAGES) -> list[dict[str, Any]]:
    """The parts of one call's messages."""
    messages = json.loads(str((captured.span().attributes or {})[name]))
    return [part for message in messages for part in message["parts"]]


@pytest.fixture(autouse=True)
def content_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE, "SPAN_AND_EVENT")


def test_chat(scene: Scene) -> None:
    image, late = Medium(), Medium()
    sound, said = Medium("audio/wav"), Medium("audio")
    pdf = Medium("application/pdf")
    content = [
        {"type": "image_url", "image_url": {"url": image.url}},
        {"type": "input_audio", "input_audio": {"data": sound.base64, "format": "wav"}},
        {"type": "file", "file": {"file_data": pdf.url, "filename": "a.pdf"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]
    calls = [{"id": "c0", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    messages = [
        {"role": "user", "content": content},
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c0", "content": [{"type": "image_url", "image_url": {"url": late.url}}]},
    ]
    message = {"role": "assistant", "audio": {"id": "audio_1", "data": said.base64, "transcript": "hi"}}
    scene.provider.enqueue(openai_chat(choices=[{"index": 0, "message": message, "finish_reason": "stop"}]))
    with capture() as captured:
        scene.openai.chat.completions.create(model="gpt-5", messages=messages)
        parts, answer = told(captured), told(captured, semconv.OUTPUT_MESSAGES)
        check(captured, [image, late, sound, said, pdf])
    assert parts[:4] == [
        image.part(),
        sound.part("audio"),
        pdf.part("document", name="a.pdf"),
        {"type": "file", "modality": "document", "file_id": "file-1"},
    ]
    assert parts[-1]["response"] == [late.part()]
    assert answer == [
        {"type": "text", "content": "hi"},
        {k: v for k, v in said.part("audio").items() if k != "mime_type"},
    ]


def test_a_chats_tool_result_that_is_json_text(scene: Scene) -> None:
    linked, bare, lines = Medium(), Medium(), Medium()
    result = {"shot": linked.url, "bare": bare.base64, "lines": base64.encodebytes(lines.raw).decode(), "kept": "yes"}
    messages = [
        {"role": "user", "content": f"See ![it]({linked.url}) and go on."},
        {"role": "tool", "tool_call_id": "c0", "content": json.dumps(result).replace("/", "\\/")},
    ]
    scene.provider.enqueue(openai_chat())
    with capture() as captured:
        scene.openai.chat.completions.create(model="gpt-5", messages=messages)
        said, answer = told(captured)
        check(captured, [linked, bare, lines])
    assert said["content"] == f"See ![it]({linked.short('image/png')}) and go on."
    assert json.loads(answer["response"]) == {
        "shot": linked.short("image/png"),
        "bare": bare.short(),
        "lines": f"{lines.short()}\n",
        "kept": "yes",
    }


@pytest.mark.responses
def test_responses(scene: Scene) -> None:
    image, shot, result, made = Medium(), Medium(), Medium(), Medium()
    pdf, late = Medium("application/pdf"), Medium("application/pdf")
    content = [
        {"type": "input_image", "image_url": image.url, "detail": "auto"},
        {"type": "input_image", "file_id": "file-1", "detail": "auto"},
        {"type": "input_file", "file_data": pdf.url, "filename": "a.pdf"},
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
    ]
    output = [
        {"type": "input_text", "text": "here"},
        {"type": "input_image", "image_url": result.url, "detail": "auto"},
        {"type": "input_file", "file_data": late.url, "filename": "b.pdf"},
    ]
    sent = [
        {"role": "user", "content": content},
        {"type": "function_call_output", "call_id": "c0", "output": output},
        {
            "type": "computer_call_output",
            "call_id": "c1",
            "output": {"type": "computer_screenshot", "image_url": shot.url},
        },
    ]
    drawn = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": made.base64}
    scene.provider.enqueue(openai_responses(output=[drawn]))
    with capture() as captured:
        scene.openai.responses.create(model="gpt-5", input=sent)
        parts, answer = told(captured), told(captured, semconv.OUTPUT_MESSAGES)
        check(captured, [image, shot, result, made, pdf, late])
    assert parts[:4] == [
        image.part(),
        {"type": "file", "modality": "image", "file_id": "file-1"},
        pdf.part("document", name="a.pdf"),
        {"type": "uri", "modality": "document", "uri": "https://example.com/a.pdf"},
    ]
    assert parts[4] == {
        "type": "tool_call_response",
        "id": "c0",
        "response": [{"type": "text", "content": "here"}, result.part(), late.part("document", name="b.pdf")],
    }
    assert parts[5] == {"type": "tool_call_response", "id": "c1", "response": [shot.part()]}
    assert answer == [made.part()]


def test_messages(scene: Scene) -> None:
    image, result, within = Medium(), Medium(), Medium()
    pdf, fetched = Medium("application/pdf"), Medium("application/pdf")

    def source(medium: Medium) -> dict[str, Any]:
        return {"type": "base64", "media_type": medium.media_type, "data": medium.base64}

    blocks = [{"type": "text", "text": "words"}, {"type": "image", "source": source(within)}]
    content = [
        {"type": "image", "source": source(image)},
        {"type": "document", "source": source(pdf)},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain words"}},
        {"type": "document", "source": {"type": "content", "content": blocks}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "document"},
        {"type": "tool_result", "tool_use_id": "c0", "content": [{"type": "image", "source": source(result)}]},
    ]
    page = {"type": "document", "source": source(fetched), "title": None, "citations": None}
    found = {"type": "web_fetch_result", "url": "https://example.com", "content": page, "retrieved_at": None}
    answer = {"type": "web_fetch_tool_result", "tool_use_id": "c1", "content": found}
    scene.provider.enqueue(with_content(answer))
    with capture() as captured:
        messages = [{"role": "user", "content": content}]
        scene.anthropic.messages.create(model="claude-next", max_tokens=9, messages=messages)
        parts, (answered,) = told(captured), told(captured, semconv.OUTPUT_MESSAGES)
        check(captured, [image, result, within, pdf, fetched])
        assert "plain words" not in everything(captured)["spans"]
    text = {"sha256": hashlib.sha256(b"plain words").hexdigest(), "size": 11, "mime_type": "text/plain"}
    assert parts == [
        image.part(),
        pdf.part("document"),
        {"type": "blob", "modality": "document", **text},
        {"type": "document", "content": [{"type": "text", "content": "words"}, within.part()]},
        {"type": "file", "modality": "document", "file_id": "file_1"},
        {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
        {"type": "blob", "modality": "document"},
        {"type": "tool_call_response", "id": "c0", "response": [result.part()]},
    ]
    assert answered["response"][0]["content"] == fetched.part("document")


def with_content(*blocks: dict[str, Any]) -> Any:
    """An answer of these blocks."""
    reply = anthropic_message()
    assert isinstance(reply.body, bytes)
    body = json.dumps({**json.loads(reply.body), "content": blocks}).encode()
    return type(reply)(headers=reply.headers, body=body)


@dataclass
class Shot:
    """A tool's own class."""

    png: bytes
    note: str


def test_a_tools_arguments_and_result() -> None:
    given, taken, held, named = Medium(), Medium(), Medium(), Medium()

    @tool
    def look(picture: bytes, link: str) -> Any:
        del picture, link
        return [Shot(held.raw, "mine"), {"inline_data": {"mime_type": "image/png", "data": named.base64}}]

    with capture() as captured:
        with run("looker"):
            look(given.raw, taken.url)
        attributes = dict(next(span.attributes or {} for span in captured.spans() if span.name.endswith("look")))
        check(captured, [given, taken, held, named])
    arguments = json.loads(str(attributes[semconv.TOOL_CALL_ARGUMENTS]))
    facts = {"type": "blob", "sha256": given.part()["sha256"], "size": 700}
    assert arguments == {"picture": facts, "link": taken.short("image/png")}
    mine, inline = json.loads(str(attributes[semconv.TOOL_CALL_RESULT]))
    assert mine == {"png": {**facts, "sha256": held.part()["sha256"]}, "note": "mine"}
    assert inline == {"inline_data": {"mime_type": "image/png", "data": named.part()}}


# --- the walker alone -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bare", [False, True])
def test_what_is_no_file_is_left_as_the_very_object(*, bare: bool) -> None:
    digests = " ".join(hashlib.sha512(str(i).encode()).hexdigest() for i in range(9))
    token = base64.b64encode(json.dumps({"sub": "x" * 400, "a": 1}).encode()).decode()
    value = {
        "prose": "words and more of them " * 400,
        "digests": digests,
        "one": hashlib.sha512(b"").hexdigest() * 3,
        "text in base64, which redaction looks into": token,
        "numbers": [1, 2.5, None, True],
        "data": "no medium beside it",
        "row": {"format": "csv", "data": "a,b"},
        "part": {"type": "text", "mime_type": "text/plain", "data": "hello"},
        "genes": "ACGT" * 100,
        "short": "data:text/plain,hello",
    }
    assert media.without_bytes(value, bare=bare) is value


def test_a_run_of_base64_is_left_for_redaction_to_see_first() -> None:
    medium = Medium()
    assert media.without_bytes(medium.base64, bare=False) is medium.base64
    assert media.without_bytes(medium.base64, bare=True) == medium.short()


def test_hostile_text_is_looked_at_in_linear_time() -> None:
    for text in (
        "a" * 59 + "\n",
        "\\",
        "data:",
        "data:;base64,",
        "data:x;base64,a\\",
        "a\\/",
        "data:;a=b",
        "a" * 70 + "\\\n",
    ):
        media.without_bytes(text * (400_000 // len(text)), bare=True)  # quadratic would be minutes


def test_digests_of_what_is_no_base64_are_of_the_text() -> None:
    assert media.blob("image", "no base64!")["size"] == 10
    assert media.blob("image", "data:image/svg+xml,%3Csvg%2F%3E")["size"] == 6
    assert media.blob("image", None) == media.blob("image", object()) == {"type": "blob", "modality": "image"}
