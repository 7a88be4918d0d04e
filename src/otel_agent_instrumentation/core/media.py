# SPDX-License-Identifier: Apache-2.0
"""Images, sounds and files in what was said: a digest, a size and a media type stand for their bytes.

Imported where content capture is on. Shape of the parts:
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-input-messages.json
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import unquote_to_bytes

Part = dict[str, Any]

_BYTES: Final = (bytes, bytearray, memoryview)
_MAX_DEPTH: Final = 64
# Base64 as it stands in texts: also with the escaped slashes of some JSON writers, in lines, as part of a URL.
_UNIT = r"(?:[A-Za-z0-9+/_-]|\\{1,8}/|%2[BbFf])"
_BREAK = r"(?:\\{1,8}[rn]|[\r\n]){1,4}"
_LINES = rf"(?:{_UNIT}{{60,80}}{_BREAK})*"
_PADDING = r"(?:=|%3[Dd]){0,2}"
_DATA_URL = re.compile(
    rf"data:([\w.+/\\-]{{0,100}})(?:;[\w.+=-]{{1,100}}){{0,4}};base64,({_LINES}{_UNIT}+{_PADDING})", re.IGNORECASE
)
_RUN_UNIT = r"(?:[A-Za-z0-9+/]|\\{1,8}/)"
_RUN = re.compile(rf"{_RUN_UNIT}{{60,}}(?:{_BREAK}{_RUN_UNIT}{{4,}})*{_PADDING}")
_ESCAPES = re.compile(r"\\+[rn]|\\+|\s+")
_SHORTEST: Final = 256
"""Characters of base64 under no name from which on they are taken for a file's: a digest or a key is shorter."""
_CLASSES = tuple(re.compile(word) for word in ("[A-Z]", "[a-z]", "[0-9]"))
_CHARACTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_LINE: Final = b"a" * 60
_TO_RUNS: Final = bytes(0x61 if byte in _CHARACTERS + b"\\" else 0x20 for byte in range(256))
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_PRINTABLE: Final = bytes(byte for byte in range(128) if byte in b"\t\r\n" or 32 <= byte < 127)  # noqa: PLR2004 - ASCII
_SHARE: Final = 4
"""One byte in so many that no text has, and what is encoded is none."""
_DATA_KEYS: Final = frozenset({"data", "blob", "base64", "b64_json", "file_data", "bytes"})
_TYPE_KEYS: Final = ("mimeType", "mime_type", "media_type", "mediaType")
_SOUNDS: Final = frozenset({"wav", "mp3", "flac", "opus", "pcm16", "aac", "ogg", "webm", "m4a"})
_PICTURES: Final = frozenset({"png", "jpeg", "jpg", "gif", "webp"})
_KINDS: Final = frozenset({"image", "audio", "video", "document", "file", "blob", "base64", "resource"})


def blob(kind: str, data: Any, media_type: str | None = None) -> Part:
    """A part for binary data: bytes, base64, a data URL; one for the link where ``data`` is another URL.

    ``sha256`` and ``size`` are those of the bytes; of what is none of these (a file still to be read) nothing is told.
    """
    if isinstance(data, str):
        if data.startswith("data:"):
            media_type, raw = _of_data_url(data, media_type)
        elif "://" in data[:12]:
            return {"type": "uri", "modality": kind, "uri": data}
        else:
            raw = decoded(data)
    else:
        raw = bytes(cast("bytes", data)) if isinstance(data, _BYTES) else None
    return _part(kind, raw, media_type)


def text_blob(kind: str, text: Any, media_type: str | None = None) -> Part:
    """The same for a file whose content is given as text."""
    return _part(kind, text.encode("utf-8", "replace") if isinstance(text, str) else None, media_type)


def file_part(kind: str, data: Any, url: Any, file_id: Any, name: Any = None) -> Part:
    """The part for a file that is given by its data, else by its URL, else by its id at the provider."""
    if data or url:
        part = blob(kind, data or url)
    elif file_id:
        part = {"type": "file", "modality": kind, "file_id": file_id}
    else:
        part = _part(kind, None, None)
    return {**part, "name": name} if isinstance(name, str) and name else part


def decoded(text: str) -> bytes:
    """The bytes of base64 (also the alphabet for URLs, lines, padding left out); the text's own where it is none."""
    raw = text.encode("utf-8", "replace")
    plain = raw.translate(_URL_SAFE, b"=\r\n")
    if plain.translate(None, _CHARACTERS):
        return raw
    try:
        return binascii.a2b_base64(plain + b"=" * (-len(plain) % 4))
    except ValueError:  # binascii.Error is one
        return raw


def without_bytes(value: Any, *, bare: bool) -> Any:
    """``value`` with a part in place of all that is an image's, a sound's or a file's bytes; itself if it has none.

    By type, by the names beside it (MCP's ``data`` with ``mimeType``) and as data URL, also within a text. ``bare``:
    long base64 of no text, too, whatever stands beside it: after redaction, which has to see tokens whole.
    """
    return _walk(value, bare, 0)


def _walk(value: Any, bare: bool, depth: int) -> Any:  # noqa: FBT001 - its own
    if isinstance(value, str):
        return _in_text(value, bare)
    if isinstance(value, _BYTES):
        return _part(None, bytes(cast("bytes", value)), None)
    if depth > _MAX_DEPTH:
        return value
    if isinstance(value, (list, tuple)):
        items = cast("list[Any]", value)
        made = [_walk(item, bare, depth + 1) for item in items]
        return made if any(new is not old for new, old in zip(made, items, strict=True)) else items
    if isinstance(value, Mapping):
        return _in_mapping(cast("Mapping[Any, Any]", value), bare, depth)
    return value


def _in_mapping(value: Mapping[Any, Any], bare: bool, depth: int) -> Mapping[Any, Any]:  # noqa: FBT001 - its own
    changed: dict[Any, Any] | None = None
    for key, item in value.items():
        if key in _DATA_KEYS and isinstance(item, str) and item and _is_medium(value):
            made: Any = _named(value, item)
        else:
            made = _walk(item, bare, depth + 1)
        if made is not item:
            changed = changed if changed is not None else dict(value)
            changed[key] = made
    return value if changed is None else changed


def _is_medium(value: Mapping[Any, Any]) -> bool:
    kind = value.get("type")
    if isinstance(kind, str):
        return kind.removeprefix("input_") in _KINDS  # `text` with a media type is a text
    return any(key in value for key in (*_TYPE_KEYS, "file_data", "blob", "b64_json")) or _of_format(value) is not None


def _of_format(value: Mapping[Any, Any]) -> str | None:
    told = value.get("format")
    return f"audio/{told}" if told in _SOUNDS else f"image/{told}" if told in _PICTURES else None


def _named(value: Mapping[Any, Any], data: str) -> Part:
    media_type = next((value[key] for key in _TYPE_KEYS if isinstance(value.get(key), str)), _of_format(value))
    kind = value.get("type")
    return blob(kind if kind in _KINDS - {"base64", "blob", "resource"} else _modality(media_type), data, media_type)


def _modality(media_type: str | None) -> str:
    kind = (media_type or "").partition("/")[0]
    return kind if kind in {"image", "audio", "video"} else "document"


def _in_text(text: str, bare: bool) -> str:  # noqa: FBT001 - its own
    made = text
    if ";base64," in text or ";BASE64," in text:
        made = _DATA_URL.sub(_link, text)
    if bare and len(made) >= _SHORTEST and _LINE in made.encode("ascii", "replace").translate(_TO_RUNS):
        made = _RUN.sub(_run, made)
    return text if made == text else made


def _link(match: re.Match[str]) -> str:
    return _short(match.group(1).replace("\\", ""), decoded(_ESCAPES.sub("", _unquoted(match.group(2)))))


def _run(match: re.Match[str]) -> str:
    run = match.group()
    if len(run) < _SHORTEST or not all(word.search(run) for word in _CLASSES):
        return run
    raw = decoded(_ESCAPES.sub("", _unquoted(run)))
    return run if len(raw.translate(None, _PRINTABLE)) * _SHARE <= len(raw) else _short("", raw)


def _unquoted(text: str) -> str:
    return unquote_to_bytes(text).decode("ascii", "replace") if "%" in text else text


def _short(media_type: str, raw: bytes) -> str:
    """What stands for bytes within a text: no sign that JSON would have to escape."""
    return f"data:{media_type};size={len(raw)};sha256={hashlib.sha256(raw).hexdigest()}"


def _of_data_url(url: str, media_type: str | None) -> tuple[str | None, bytes]:
    head, _, value = url[5:].partition(",")
    kind, *parameters = head.split(";")
    encoded = any(parameter.strip().lower() == "base64" for parameter in parameters)
    if not encoded:
        return kind or media_type, unquote_to_bytes(value)
    return kind or media_type, decoded(_unquoted(value))


def _part(kind: str | None, raw: bytes | None, media_type: str | None) -> Part:
    part: Part = {"type": "blob"}
    if kind:
        part["modality"] = kind
    if raw is not None:
        part["sha256"] = hashlib.sha256(raw).hexdigest()
        part["size"] = len(raw)
    if media_type:
        part["mime_type"] = media_type
    return part
