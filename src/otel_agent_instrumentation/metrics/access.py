# SPDX-License-Identifier: Apache-2.0
"""Who may read `/metrics`: whoever knows the token, or the name and password."""

from __future__ import annotations

import base64
import binascii
import hmac
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..core.contain import warn_once

if TYPE_CHECKING:
    from ..config import Settings


class Access(NamedTuple):
    """What is asked for. Neither: nobody is let in, unless ``anonymous`` says that everybody is."""

    token: str | None = None
    basic: str | None = None
    """`user:password`."""
    anonymous: bool = False

    @property
    def usable(self) -> bool:
        """Whether anybody can be let in at all."""
        return bool(self.token or self.basic or self.anonymous)

    @property
    def challenge(self) -> str:
        """The value of `WWW-Authenticate`."""
        return 'Bearer realm="metrics"' if self.token else 'Basic realm="metrics", charset="UTF-8"'

    def allows(self, authorization: str | None) -> bool:
        """Whether the value of an `Authorization` header is right. Takes as long for a wrong one as for a right one."""
        if self.anonymous and not (self.token or self.basic):
            return True
        scheme, _, given = (authorization or "").strip().partition(" ")
        told = given.strip().encode("utf-8", "replace")
        if scheme.lower() == "bearer" and self.token:
            return hmac.compare_digest(told, self.token.encode())
        if scheme.lower() == "basic" and self.basic:
            try:
                told = base64.b64decode(told, validate=True)
            except (binascii.Error, ValueError):
                told = b""
            return hmac.compare_digest(told, self.basic.encode())
        return False


def access_of(settings: Settings) -> Access:
    """What the settings say. A token's file that cannot be read is one warning, and no token."""
    token = settings.metrics_token
    if token is None and settings.metrics_token_file is not None:
        try:
            token = Path(settings.metrics_token_file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            warn_once(
                "metrics:token_file",
                "otel-agent: the token of /metrics cannot be read from %s (%s): see OTEL_AGENT_METRICS_TOKEN_FILE.",
                settings.metrics_token_file,
                type(error).__name__,
            )
    return Access(token or None, settings.metrics_basic, settings.metrics_anonymous)
