# SPDX-License-Identifier: Apache-2.0
"""The settings in force, for the parts that run inside a call."""

from __future__ import annotations

from ..config import Settings

_current = Settings()


def use(settings: Settings) -> None:
    """Put ``settings`` in force."""
    global _current  # noqa: PLW0603 - one process, one configuration
    _current = settings


def current() -> Settings:
    """The settings in force."""
    return _current


def capturing() -> bool:
    """Whether any content is to be kept."""
    return _current.content != "NO_CONTENT" or _current.completion_hook is not None


def let_content_go() -> None:
    """Keep no content from here on."""
    use(_current._replace(content="NO_CONTENT", completion_hook=None))
