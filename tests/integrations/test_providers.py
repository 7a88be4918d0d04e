# SPDX-License-Identifier: Apache-2.0
"""`gen_ai.provider.name` by host: every row of the table, and hosts that are in none."""

from __future__ import annotations

import pytest

from otel_agent_instrumentation.integrations._providers import provider

ROWS = {
    "api.openai.com": "openai",
    "eu.api.openai.com": "openai",
    "acme.openai.azure.com": "azure.ai.openai",
    "acme.cognitiveservices.azure.com": "azure.ai.openai",
    "acme.services.ai.azure.com": "azure.ai.openai",
    "models.inference.ai.azure.com": "azure.ai.inference",
    "models.github.ai": "github",
    "api.anthropic.com": "anthropic",
    "bedrock-runtime.us-east-1.amazonaws.com": "aws.bedrock",
    "bedrock-runtime-fips.us-gov-west-1.amazonaws.com": "aws.bedrock",
    "bedrock-runtime.cn-north-1.amazonaws.com.cn": "aws.bedrock",
    "us-central1-aiplatform.googleapis.com": "gcp.vertex_ai",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "aiplatform.eu.rep.googleapis.com": "gcp.vertex_ai",
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
    "dashscope.aliyuncs.com": "dashscope",
    "dashscope-intl.aliyuncs.com": "dashscope",
    "api.moonshot.cn": "moonshot_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.cerebras.ai": "cerebras",
    "api.sambanova.ai": "sambanova",
    "integrate.api.nvidia.com": "nvidia",
    "router.huggingface.co": "huggingface",
    "api-inference.huggingface.co": "huggingface",
    "us-south.ml.cloud.ibm.com": "ibm.watsonx.ai",
    "api.dataplatform.watsonx.ai": "ibm.watsonx.ai",
}
UNKNOWN = {
    "llm.example.com": "example.com",
    "a.b.c.example.org": "example.org",
    "llm.example.co.uk": "example.co.uk",
    "gateway": "gateway",
    "gateway.internal": "gateway.internal",
    "127.0.0.1": "127.0.0.1",
    "10.20.30.40": "10.20.30.40",
    "::1": "::1",
    "2001:db8::8a2e:370:7334": "2001:db8::8a2e:370:7334",
    # Names that only look like somebody's.
    "notopenai.com": "notopenai.com",
    "api.openai.com.example.net": "example.net",
    "xbedrock-runtime.us-east-1.amazonaws.com": "amazonaws.com",
    "myaiplatform.googleapis.com.evil.org": "evil.org",
    "other.googleapis.com": "googleapis.com",
    "dashscope.aliyuncs.com.cn": "aliyuncs.com.cn",
}


@pytest.mark.parametrize(("host", "name"), [*ROWS.items(), *UNKNOWN.items()])
def test_a_host_is_named(host: str, name: str) -> None:
    assert provider(host, None) == name
    assert provider(host, 8443) == name
    assert provider(f"{host.upper()}.", None) == name or ":" in host or host[-1].isdigit()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_a_local_port_is_ollamas_and_no_other_guess_is_made(host: str) -> None:
    assert provider(host, 11434) == "ollama"
    assert provider(host, 8000) == host
    assert provider("gpu.example.com", 11434) == "example.com"
