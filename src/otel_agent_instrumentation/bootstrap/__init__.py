# SPDX-License-Identifier: Apache-2.0
"""The composition root: where `opentelemetry-instrument` and `instrument()` end.

Nothing here may raise during start-up: an exception in a hook aborts every later instrumentor of the launcher.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.distro import BaseDistro
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

from .. import config
from ..core.contain import Contained

if TYPE_CHECKING:
    from collections.abc import Collection

_START = Contained("bootstrap")


def _idle() -> bool:
    """Whether nothing at all is to be done, and nothing to be said: then nothing is imported either."""
    settings = config.load()
    return settings.sdk_disabled and not settings.warnings


class AgentDistro(BaseDistro):
    """`OTEL_PYTHON_DISTRO=agent`: changes no variable; the configurator knows the defaults."""

    def _configure(self, **kwargs: Any) -> None:
        """Nothing: what a distro sets in the environment would look like the user's own choice."""


class AgentConfigurator:
    """`OTEL_PYTHON_CONFIGURATOR=agent`: builds the providers (contracts 3)."""

    def configure(self, **kwargs: Any) -> None:  # noqa: ARG002 - the launcher's own version
        """Build and set the global providers, unless the SDK is disabled. Never raises."""
        with _START:
            if not _idle():
                from . import install

                install.configure()


def pre_instrument() -> None:
    """Run before any instrumentor, whoever configured the SDK: the guard goes around what there is. Never raises."""
    with _START:
        if not _idle():
            from . import install

            install.adopt()


def post_instrument() -> None:
    """Run after all instrumentors: the self-check, and the word on who owns what. Never raises."""
    with _START:
        if not _idle():
            from . import install

            install.self_check()
    with _START:
        if not _idle():
            from ..integrations import _neighbours as neighbours

            neighbours.settle()


class AgentInstrumentor(BaseInstrumentor):
    """The one instrumentor of this package, entry point `agent`: patches every supported library that is imported."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: versions are looked at seam by seam, and an unknown one is tried."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        with _START:
            if _idle():
                return
            from . import install

            install.instrument(
                tracer_provider=kwargs.get("tracer_provider"),
                meter_provider=kwargs.get("meter_provider"),
                logger_provider=kwargs.get("logger_provider"),
                only=kwargs.get("only"),
            )

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - the base class's signature
        with _START:
            from . import install

            install.uninstrument()
