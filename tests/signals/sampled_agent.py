# SPDX-License-Identifier: Apache-2.0
"""An unchanged agent: asks the provider at the address given, runs the tool that the model wants, streams the end."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import openai

QUESTION: Any = {"role": "user", "content": "What is the weather?"}

with openai.OpenAI(base_url=sys.argv[1], api_key="k", max_retries=0) as client:
    message: Any = client.chat.completions.create(model="gpt-5", messages=[QUESTION]).choices[0].message
    result: Any = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "21 degrees"}
    for _ in client.chat.completions.create(model="gpt-5", messages=[QUESTION, message, result], stream=True):
        pass
    with contextlib.suppress(openai.BadRequestError):
        client.embeddings.create(model="e", input="x")
