# SPDX-License-Identifier: Apache-2.0
"""anthropic 0.51 to 2.x: messages, beta included, with Bedrock and Vertex clients.

anthropic >= 2 emits a span of its own for each call. It stands down where ours is made: it has no metrics, calls a
cancelled call a success, and sets OK; two spans with tokens would double every sum. Its other spans (sessions, tool
runner) stay. `OTEL_AGENT_DISABLED=anthropic` gives it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.contain import Contained
from ..core.engine import current_call
from ..core.patching import Integration, Seam
from ..core.settings import capturing
from ._messages import MESSAGES
from ._stainless import Stainless

if TYPE_CHECKING:
    from ..core.spec import Api

_NATIVE = Contained("anthropic.native_span")


def _route(method: str, url: str) -> Api | None:
    if method in {"post", "POST"} and "/" + url.partition("?")[0].strip("/") == "/v1/messages":
        return MESSAGES
    return None


def _no_native_span(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - wrapt's signature
    native = False  # where we cannot tell, it stands down: it would put our trace into the user's request
    with _NATIVE:
        call = current_call()
        native = call is None or call.library != "anthropic"
    return wrapped(*args, **kwargs) if native else None


_client = Stainless(
    "anthropic",
    _route,
    by_class={
        "BaseBedrockClient": "aws.bedrock",
        "BaseMantleClient": "aws.bedrock",
        "BaseVertexClient": "gcp.vertex_ai",
        "BaseGoogleCloudClient": "gcp.vertex_ai",
        "AnthropicFoundry": "azure.ai.inference",
        "AsyncAnthropicFoundry": "azure.ai.inference",
    },
    capture=capturing,
)

INTEGRATION = Integration(
    name="anthropic",
    distribution="anthropic",
    seams=(
        *_client.seams(
            [
                ("anthropic.lib.streaming._messages", "MessageStreamManager"),
                ("anthropic.lib.streaming._beta_messages", "BetaMessageStreamManager"),
            ]
        ),
        Seam(
            "anthropic._base_client",
            "start_api_call_span",
            _no_native_span,
            "standing down of the client's own span",
            optional=True,
        ),
    ),
)
