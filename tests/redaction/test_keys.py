# SPDX-License-Identifier: Apache-2.0
"""Which names of fields say that their value is a secret."""

from __future__ import annotations

import pytest

from otel_agent_instrumentation.redaction.keys import judge

SECRETS = """
password passwd pwd user.password userPassword PGPASSWORD db-password password_2 login.passphrase new_passwords
password_hash secret client_secret clientSecret CLIENT-SECRET aws_secret_access_key aws.secretAccessKey
webhookSecret token access_token accessToken authtoken refresh-token X-Auth-Token session_token auth_tokens
x-amz-security-token api_key apikey apiKey OPENAI_API_KEY X-API-Key x-goog-api-key openai.api_key api_key.value
APIKey api-keys authorization Authorization proxy-authorization http.request.header.authorization
headers.authorization.0 cookie cookies Cookie set-cookie http.response.header.set-cookie private_key privateKey
credential credentials access_key bearer jwt signing_key Ocp-Apim-Subscription-Key connectionString api.key
aws.private.key headers[authorization]
"""

PLAIN = """
gen_ai.usage.input_tokens gen_ai.usage.output_tokens gen_ai.usage.cache_read.input_tokens gen_ai.request.max_tokens
max_tokens max_completion_tokens max_output_tokens gen_ai.token.type token_count llm.token_count.prompt tokens_used
prompt_tokens total_tokens tokens tokenizer eos_token stop_token time_to_first_token session.id session_id
gen_ai.conversation.id trace_id span_id parent_id run_id trace_state secret_name secretary aws_access_key_id
passage bypass compass key keys sort_key primary_key author authority cookie_consent cookie_count password_length
has_password_reset is_secret_ok map.key eos.token gen_ai.response.id gen_ai.tool.call.id server.address error.type
pwdx
"""


@pytest.mark.parametrize("key", SECRETS.split())
def test_name_of_a_secret(key):
    assert judge(key).secret


@pytest.mark.parametrize("key", PLAIN.split())
def test_name_of_something_else(key):
    assert not judge(key).secret


def test_numbers_stay_under_token_only():
    assert judge("token").keep_numbers
    assert not judge("password").keep_numbers
    assert not judge("api_key").keep_numbers


@pytest.mark.parametrize("key", ["", ".", "...", "[0]", "1" * 5000, "value" * 1000, "A" * 5000, "_" * 5000])
def test_odd_names_are_judged_quickly(key):
    assert not judge(key).secret
