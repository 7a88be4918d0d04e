# SPDX-License-Identifier: Apache-2.0
"""`gen_ai.provider.name` by the host of a compatible client: one table, the longest suffix wins.

Values are the convention's where it has one, else the product's lower-case name. A host that is not here is named by
its registrable name: `openai` is said of OpenAI's own hosts only.
"""

from __future__ import annotations

import re
from functools import lru_cache

_SUFFIXES = {
    "api.openai.com": "openai",
    "openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.openai",
    "models.inference.ai.azure.com": "azure.ai.inference",
    "anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "openrouter.ai": "openrouter",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras",
    "api.sambanova.ai": "sambanova",
    "integrate.api.nvidia.com": "nvidia",
    "router.huggingface.co": "huggingface",
    "api-inference.huggingface.co": "huggingface",
    "ml.cloud.ibm.com": "ibm.watsonx.ai",
    "watsonx.ai": "ibm.watsonx.ai",
    "models.github.ai": "github",
}
_PATTERNS = (
    (re.compile(r"bedrock-runtime[\w.-]*\.amazonaws\.com(?:\.cn)?"), "aws.bedrock"),
    (re.compile(r"(?:[\w-]+-)?aiplatform(?:\.[\w-]+\.rep)?\.googleapis\.com"), "gcp.vertex_ai"),
    (re.compile(r"dashscope[\w-]*\.aliyuncs\.com"), "dashscope"),
    (re.compile(r"api\.moonshot\.[a-z]+"), "moonshot_ai"),
    (re.compile(r"(?:.*\.)?watsonx\.[\w.-]+"), "ibm.watsonx.ai"),
)
_OLLAMA_PORT = 11434
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "net", "or", "org"})


@lru_cache(maxsize=256)
def provider(host: str, port: int | None = None) -> str:
    """The provider behind ``host``.

    >>> provider("eu.api.openai.com"), provider("llm.example.co.uk"), provider("localhost", 11434)
    ('openai', 'example.co.uk', 'ollama')
    """
    host = host.lower().rstrip(".")
    labels = host.split(".")
    for start in range(len(labels)):
        known = _SUFFIXES.get(".".join(labels[start:]))
        if known:
            return known
    for pattern, name in _PATTERNS:
        if pattern.fullmatch(host):
            return name
    if port == _OLLAMA_PORT and host in {"localhost", "127.0.0.1", "::1"}:
        return "ollama"
    return _registrable(host, labels)


def _registrable(host: str, labels: list[str]) -> str:
    if len(labels) <= 2 or ":" in host or labels[-1].isdigit():  # noqa: PLR2004 - a name with its top-level domain
        return host
    keep = 3 if len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL else 2  # noqa: PLR2004 - example.co.uk
    return ".".join(labels[-keep:])
