# SPDX-License-Identifier: Apache-2.0
"""The page that shows a run: the files of `page/` as one document, for the browser of `serve` and for `report`.

Nothing of it comes from elsewhere, and its policy (CSP) allows no more: the one script and the one style by their
digests, connections to where the page is from, no image, no frame, no form.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from ._tree import MODEL_CALLS, NOT_SHOWN

_HERE = Path(__file__).parent / "page"
_SCRIPTS = ("model.js", "view.js", "plots.js", "live.js")
_JAEGER = re.compile(r"https?://[^\s\"'<>\\]+")


class Page(NamedTuple):
    """A document, and the policy that it is to be served with."""

    html: str
    policy: str


def page(config: dict[str, Any], data: bytes = b"") -> Page:
    """The page with what it is told at its start; ``data`` is a run's lines, gzipped: without, it asks for them."""
    style = _text("page.css")
    script = f"(() => {{\n{''.join(map(_text, _SCRIPTS))}}})();\n"
    connect = "'none'" if data else "'self'"
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; connect-src {connect}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "csp": f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        "style": style,
        "script": script,
        # What would end the element that it stands in is written otherwise.
        "config": json.dumps({**config, "calls": sorted(MODEL_CALLS), "hidden": sorted(NOT_SHOWN)}).replace(
            "<", "\\u003c"
        ),
        "data": base64.b64encode(data).decode(),
    }
    html = re.sub(r"<!--(\w+)-->", lambda found: parts[found[1]], _text("page.html"))
    return Page(html, f"{policy}; frame-ancestors 'none'")


def jaeger(address: str) -> str:
    """Jaeger's address as links begin with it. Raises `ValueError`."""
    if not _JAEGER.fullmatch(address):
        msg = f"not the address of a web page: {address!r}; it is like http://localhost:16686"
        raise ValueError(msg)
    return address.rstrip("/")


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
