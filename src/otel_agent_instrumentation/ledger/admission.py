# SPDX-License-Identifier: Apache-2.0
"""Who may see the stream: whoever has the token, and no page of another origin.

Programs send the token in the header `Authorization: Bearer`. A browser is let in once by `/?token=...`, which the
server answers with a cookie and a redirect, so that the token stays in no address; the cookie is for this origin alone
and no script can read it.
"""

from __future__ import annotations

import hmac
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ANY = ("0.0.0.0", "::")  # noqa: S104 - what a user may name: pages of this machine itself are meant then
_FORMS = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """A plain HTTP answer."""

    status: HTTPStatus
    body: str
    headers: tuple[tuple[str, str], ...] = (("Content-Type", _FORMS), ("Cache-Control", "no-store"))


class Asked(NamedTuple):
    """What a request asks for."""

    path: str
    query: dict[str, list[str]]


class Admission:
    """The checks of one server."""

    def __init__(self, token: str, host: str, port: int, origins: Iterable[str] = ()) -> None:
        self._token = token.encode()
        self._cookie = f"otel-agent-{port}"  # cookies know no ports: two servers must not share one
        # Any character may be in a token, few in a cookie; and a browser need not keep the token itself.
        self._pass = hmac.new(self._token, self._cookie.encode(), "sha256").hexdigest()
        names = LOOPBACK if host in (*LOOPBACK, *_ANY) else (host,)
        own = {f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}" for name in names}
        self._origins = own | {origin.rstrip("/") for origin in origins}

    def check(self, target: str, headers: Mapping[str, str]) -> Asked | Answer:
        """What may be answered to a request for ``target``, or the answer that refuses it. Never raises."""
        try:
            parts = urlsplit(target)
            query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=100)
            origin, authorization = headers.get("Origin"), headers.get("Authorization", "")
            cookies = headers.get("Cookie", "")
        except (ValueError, LookupError):  # also of a header that is sent twice
            return Answer(HTTPStatus.BAD_REQUEST, "This request cannot be read.\n")
        if origin is not None and origin not in self._origins:
            return Answer(
                HTTPStatus.FORBIDDEN,
                "A page of another origin may not read the stream; `otel-agent serve --origin` allows one.\n",
            )
        given = query.pop("token", [""])[-1]
        if parts.path == "/" and _same(given, self._token):
            return self._let_in()
        kind, _, bearer = authorization.partition(" ")
        if (kind.lower() == "bearer" and _same(bearer.strip(), self._token)) or _same(
            self._in(cookies), self._pass.encode()
        ):
            return Asked(parts.path, query)
        return Answer(
            HTTPStatus.UNAUTHORIZED,
            "The token is missing or wrong: send it as `Authorization: Bearer TOKEN`, or open `/?token=TOKEN` in a "
            "browser. `otel-agent serve` printed it.\n",
            (*Answer._field_defaults["headers"], ("WWW-Authenticate", "Bearer")),
        )

    def _in(self, cookies: str) -> str:
        try:
            found = SimpleCookie(cookies).get(self._cookie)
        except CookieError:
            return ""
        return found.value if found is not None else ""

    def _let_in(self) -> Answer:
        cookie = f"{self._cookie}={self._pass}; HttpOnly; SameSite=Strict; Path=/"
        headers = (("Location", "/"), ("Set-Cookie", cookie), ("Cache-Control", "no-store"))
        return Answer(HTTPStatus.SEE_OTHER, "", (*headers, ("Referrer-Policy", "no-referrer")))


def _same(given: str, wanted: bytes) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted)
