# SPDX-License-Identifier: Apache-2.0
"""Made-up secrets and personal data of every form that a rule knows, put together at run time from their formats.

Nothing here is a secret, and no file of this repository holds one: every value is made of its parts by a generator
with a seed, so that no scanner of a host takes it for real. Sources: the `source` of each rule.
"""

from __future__ import annotations

import base64
import json
import random
import string
import uuid
from collections.abc import Callable

AN = string.ascii_letters + string.digits
LOW = string.ascii_lowercase + string.digits
HEX = "0123456789abcdef"
URL = AN + "-_"
B64 = AN + "+/"
DIGITS = string.digits

Maker = Callable[[random.Random], str]


def some(source: random.Random, alphabet: str, length: int) -> str:
    return "".join(source.choice(alphabet) for _ in range(length))


def solid(source: random.Random, alphabet: str, length: int) -> str:
    """Like `some`; begins and ends with a letter or digit, and holds digits."""
    core = some(source, alphabet, length - 4)
    return source.choice(string.ascii_letters) + source.choice("23456789") + core + some(source, LOW[:26], 1) + "7"


def token(start: str, alphabet: str, length: int, end: str = "") -> Maker:
    return lambda source: start + solid(source, alphabet, length) + end


def hexadecimal(start: str, length: int, end: str = "") -> Maker:
    return lambda source: start + some(source, HEX, length) + end


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _jwt(source: random.Random) -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, {"sub": some(source, DIGITS, 10), "admin": True})
    return ".".join([*(_b64url(json.dumps(part).encode()) for part in parts), solid(source, URL, 43)])


def _luhn(digits: str) -> str:
    for last in DIGITS:
        total = sum(
            int(digit) if place % 2 == 0 else sum(divmod(int(digit) * 2, 10))
            for place, digit in enumerate(reversed(digits + last))
        )
        if total % 10 == 0:
            return digits + last
    raise AssertionError(digits)


def _card(source: random.Random) -> str:
    number = _luhn(
        source.choice(["4" + some(source, DIGITS, 14), "5" + source.choice("12345") + some(source, DIGITS, 13)])
    )
    if source.random() < 0.5:
        return source.choice(" -").join(number[at : at + 4] for at in range(0, 16, 4))
    return number


def _iban(source: random.Random) -> str:
    country, bank = source.choice([("DE", 18), ("FR", 23), ("GB", 18), ("NL", 14), ("ES", 20)])
    body = (some(source, string.ascii_uppercase, 4) if country in {"GB", "NL"} else "") + some(source, DIGITS, bank)
    body = body[:bank]
    number = int("".join(str(int(character, 36)) for character in body + country + "00"))
    whole = f"{country}{98 - number % 97:02d}{body}"
    return whole if source.random() < 0.5 else " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))


def _de_tax_id(source: random.Random) -> str:
    digits = source.sample(range(10), 9)
    first = [digits[0] or digits[1], *digits]
    first = [digits[1], *digits] if first[0] == 0 else [first[0], *digits]
    product = 10
    for digit in first:
        product = ((digit + product) % 10 or 10) * 2 % 11
    return "".join(map(str, first)) + str((11 - product) % 10)


def _nir(source: random.Random) -> str:
    body = source.choice("12") + f"{source.randrange(100):02d}{source.randrange(1, 13):02d}" + some(source, DIGITS, 8)
    return body + f"{97 - int(body) % 97:02d}"


def _dni(source: random.Random) -> str:
    number = source.randrange(10**7, 10**8)
    return f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


def _codice_fiscale(source: random.Random) -> str:
    odd = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
    upper = string.ascii_uppercase
    body = some(source, upper, 6) + f"{source.randrange(100):02d}" + source.choice("ABCDEHLMPRST")
    body += f"{source.randrange(1, 29):02d}" + source.choice("ABCDEFGHIL") + some(source, DIGITS, 3)
    total = 0
    for place, character in enumerate(body):
        value = int(character) if character.isdigit() else upper.index(character)
        total += odd[value] if place % 2 == 0 else value
    return body + upper[total % 26]


def _cpf(source: random.Random) -> str:
    digits = [source.randrange(10) for _ in range(9)]
    digits[0] = (digits[1] + 1) % 10
    for known in (9, 10):
        digits.append(sum(digit * (known + 1 - place) for place, digit in enumerate(digits[:known])) * 10 % 11 % 10)
    text = "".join(map(str, digits))
    return f"{text[:3]}.{text[3:6]}.{text[6:9]}-{text[9:]}"


def _aadhaar(source: random.Random) -> str:
    from otel_agent_instrumentation.redaction.checks import verhoeff

    while True:
        digits = source.choice("23456789") + some(source, DIGITS, 11)
        if verhoeff(digits.encode(), 0, 12):
            return f"{digits[:4]} {digits[4:8]} {digits[8:]}"


def _pem(source: random.Random) -> str:
    kind = source.choice(["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
    lines = "\n".join(some(source, B64, 64) for _ in range(6))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----"


UPPER32 = string.ascii_uppercase + "234567"
SECRETS: dict[str, Maker] = {
    "anthropic": token("sk-" + "ant-api03-", URL, 93, "AA"),
    "openrouter": hexadecimal("sk-" + "or-v1-", 64),
    "langfuse": lambda source: "sk-" + f"lf-{uuid.UUID(int=source.getrandbits(128), version=4)}",
    "openai": lambda source: "sk-" + solid(source, AN, 20) + "T3Bl" + "bkFJ" + solid(source, AN, 20),
    "openai project": lambda source: (
        "sk-" + "proj-" + solid(source, URL, 74) + "T3Bl" + "bkFJ" + solid(source, URL, 74)
    ),
    "deepseek": hexadecimal("sk-", 32),
    "aws key id": lambda source: source.choice(["AK", "AS"]) + "IA" + some(source, UPPER32, 16),
    "aws bedrock": token("AB" + "SK", B64, 128),
    "google api key": token("AI" + "za", URL, 35),
    "google oauth secret": token("GOC" + "SPX-", URL, 28),
    "google access token": token("ya" + "29.", URL, 120),
    "google refresh token": token("1/" + "/0", URL, 60),
    "azure client secret": lambda source: solid(source, AN, 4)[:3] + "8Q"[1:] + "~" + solid(source, URL, 34),
    "github": lambda source: "gh" + source.choice("pousr") + "_" + solid(source, AN, 36),
    "github fine-grained": lambda source: "github" + f"_pat_{solid(source, AN, 22)}_{solid(source, AN, 59)}",
    "gitlab": token("gl" + "pat-", URL, 20),
    "bitbucket": token("AT" + "BB", AN, 32),
    "atlassian": token("ATA" + "TT3", URL, 180, "=1A2B3C4D"),
    "slack": lambda source: "xox" + f"b-{some(source, DIGITS, 12)}-{some(source, DIGITS, 13)}-{solid(source, AN, 24)}",
    "discord bot": lambda source: (
        "MT" + solid(source, AN, 22) + "." + solid(source, AN, 6) + "." + solid(source, URL, 30)
    ),
    "telegram": lambda source: some(source, "123456789", 9) + ":A" + "A" + solid(source, URL, 33),
    "stripe": lambda source: source.choice(["s", "r"]) + "k_li" + "ve_" + solid(source, AN, 40),
    "webhook secret": token("wh" + "sec_", AN, 32),
    "square": token("sq0" + "atp-", URL, 22),
    "square access token": token("EA" + "AA", URL, 60),
    "braintree": lambda source: "access_tok" + f"en$production${some(source, LOW, 16)}${some(source, HEX, 32)}",
    "shopify": hexadecimal("shp" + "at_", 32),
    "twilio": hexadecimal("S" + "K", 32),
    "sendgrid": lambda source: "S" + f"G.{solid(source, URL, 22)}.{solid(source, URL, 43)}",
    "mailgun": hexadecimal("ke" + "y-", 32),
    "mailchimp": lambda source: some(source, HEX, 32) + "-u" + f"s{source.randrange(1, 22)}",
    "npm": token("np" + "m_", AN, 36),
    "pypi": token("py" + "pi-AgEIcHlwaS5vcmc", URL, 70),
    "rubygems": hexadecimal("ruby" + "gems_", 48),
    "crates.io": token("ci" + "o", AN, 32),
    "docker hub": token("dckr" + "_pat_", URL, 27),
    "hugging face": lambda source: "h" + "f_" + some(source, string.ascii_letters, 34),
    "replicate": token("r" + "8_", AN, 37),
    "groq": token("gs" + "k_", AN, 52),
    "xai": token("xa" + "i-", AN, 80),
    "perplexity": token("pp" + "lx-", AN, 48),
    "fireworks": token("f" + "w_", AN, 24),
    "langsmith": lambda source: "lsv" + f"2_pt_{some(source, HEX, 32)}_{some(source, HEX, 10)}",
    "tavily": token("tv" + "ly-", AN, 32),
    "pinecone": token("pc" + "sk_", URL, 60),
    "databricks": hexadecimal("da" + "pi", 32),
    "digitalocean": hexadecimal("dop" + "_v1_", 64),
    "heroku": token("HR" + "KU-AA", URL, 58),
    "vercel": token("ver" + "cel_", AN, 24),
    "netlify": token("nf" + "p_", AN, 36),
    "cloudflare origin ca": lambda source: "v1." + f"0-{some(source, HEX, 24)}-{some(source, HEX, 146)}",
    "fly.io": token("fo" + "1_", URL, 43),
    "linear": token("lin" + "_api_", AN, 40),
    "notion": token("nt" + "n_", AN, 46),
    "airtable": lambda source: "pa" + f"t{solid(source, AN, 14)}.{some(source, HEX, 64)}",
    "figma": token("fig" + "d_", URL, 40),
    "grafana": lambda source: "gl" + f"sa_{solid(source, AN, 32)}_{some(source, HEX, 8)}",
    "sentry": hexadecimal("sntry" + "u_", 64),
    "new relic": lambda source: "NR" + "AK-" + some(source, string.ascii_uppercase + DIGITS, 27),
    "vault": token("hv" + "s.", URL, 90),
    "terraform": lambda source: solid(source, AN, 14) + ".atl" + "asv1." + solid(source, URL, 65),
    "doppler": token("dp" + ".pt.", AN, 43),
    "pulumi": hexadecimal("pu" + "l-", 40),
    "postman": lambda source: "PM" + f"AK-{some(source, HEX, 24)}-{some(source, HEX, 34)}",
    "supabase": hexadecimal("sb" + "p_", 40),
    "planetscale": token("pscale" + "_tkn_", URL, 43),
    "1password": token("ops" + "_eyJ", B64, 200),
    "age": lambda source: "AGE-SECRET" + "-KEY-1" + some(source, string.ascii_uppercase + DIGITS, 58),
    "jwt": _jwt,
    "private key": _pem,
}
"""Secrets that their own form gives away."""

PII: dict[str, Maker] = {
    "email": lambda source: f"{some(source, LOW[:26], 6)}.{some(source, LOW[:26], 5)}@{some(source, LOW[:26], 8)}.com",
    "card": _card,
    "iban": _iban,
    "phone": lambda source: f"+49 {some(source, '123456789', 3)} {some(source, DIGITS, 7)}",
    "us ssn": lambda source: (
        f"{source.randrange(100, 666):03d}-{source.randrange(1, 100):02d}-{source.randrange(1, 9999):04d}"
    ),
    "uk nino": lambda source: f"AB {source.randrange(10, 99)} {source.randrange(10, 99)} {source.randrange(10, 99)} C",
    "de tax id": _de_tax_id,
    "fr nir": _nir,
    "es dni": _dni,
    "it codice fiscale": _codice_fiscale,
    "br cpf": _cpf,
    "in aadhaar": _aadhaar,
    "in pan": lambda source: some(source, string.ascii_uppercase, 3) + "PK" + some(source, DIGITS, 4) + "F",
}

KEYED: dict[str, Maker] = {
    "aws secret key": lambda source: f"aws_secret_access_key = {solid(source, B64, 40)}",
    "azure storage": lambda source: f"AccountKey={solid(source, B64, 86)}==",
    "azure openai": lambda source: f"api_key={some(source, HEX, 32)}",
    "mistral": lambda source: f"MISTRAL_API_KEY={solid(source, AN, 32)}",
    "cohere": lambda source: f"cohere_api_key: {solid(source, AN, 40)}",
    "together": lambda source: f"TOGETHER_API_KEY={some(source, HEX, 64)}",
    "heroku uuid": lambda source: f"heroku_api_key: {uuid.UUID(int=source.getrandbits(128), version=4)}",
    "datadog": lambda source: f"DD-API-KEY: {some(source, HEX, 32)}",
    "a token": lambda source: f"token={solid(source, AN, 40)}",
    "password in json": lambda source: json.dumps({"password": solid(source, AN, 12)}),
    "a flag": lambda source: f"--password {solid(source, AN, 10)}",
    "bearer": lambda source: f"Bearer {solid(source, URL, 40)}",
    "basic": lambda source: "Basic " + base64.b64encode(f"user:{some(source, AN, 12)}".encode()).decode(),
    "url": lambda source: f"postgresql://app:{solid(source, AN, 16)}@db.internal:5432/x",
    "connection string": lambda source: f"Server=db;User Id=sa;Password={solid(source, AN, 14)};Encrypt=yes",
    "query": lambda source: f"https://api.example.org/v1?access_token={solid(source, AN, 32)}&page=2",
    "signature": lambda source: f"https://b.s3.amazonaws.com/k?X-Amz-Signature={some(source, HEX, 64)}&x=1",
    "slack webhook": lambda source: (
        "https://hooks.sla" + f"ck.com/services/T0AB12CD3/B0EF45GH6/{solid(source, AN, 24)}"
    ),
    "discord webhook": lambda source: (
        "https://discord.co" + f"m/api/webhooks/{some(source, '123456789', 18)}/{solid(source, URL, 66)}"
    ),
    "cookie": lambda source: f"Cookie: sid={solid(source, AN, 24)}; theme=dark",
    "curl": lambda source: f"curl -u admin:{solid(source, AN, 12)} https://x.example.org",
    "mysql": lambda source: f"mysql -h db -u root -p {solid(source, AN, 12)} app",
    "otp": lambda source: f"otp: {some(source, string.ascii_lowercase, 3)}{some(source, DIGITS, 13)}",
    "spoken": lambda source: f"the api key is {solid(source, AN, 32)}",
    "xml": lambda source: f"<clientSecret>{solid(source, AN, 20)}</clientSecret>",
    "yaml": lambda source: f"client_secret: {solid(source, AN, 30)}",
    "python": lambda source: f'client_secret = "{solid(source, AN, 24)}"',
    "form": lambda source: (
        'Content-Disposition: form-data; name="password"\r\n\r\n' + solid(source, AN, 14) + "\r\n--b--"
    ),
}
"""Secrets that the name before them gives away: the text with its name."""


def secret_of(kind: str, text: str) -> str:
    """The part of a value of `KEYED` that must not be left: its longest run of letters and digits with a digit."""
    import re

    if kind == "basic":
        return text.rsplit(maxsplit=1)[-1]
    runs = [
        run
        for run in re.findall(r"[A-Za-z0-9+/_-]{8,}", text.replace("X-Amz-Signature", ""))
        if any(c.isdigit() for c in run)
    ]
    return max(runs, key=len)


CONTEXTS: dict[str, str] = {
    "quoted": 'use "{}" now',
    "comma": "use {}, please",
    "period": "It is {}.",
    "bracket": "look ({}) and [{}]",
    "ampersand": "a=1&v={}&b=2",
    "escaped": '{{"text": "say \\"{}\\" again"}}',
    "newline": "first\n{}\nlast",
    "escaped newline": "first\\n{}\\nlast",
    "url": "https://example.org/x/{}?y=1",
    "header": "X-Data: {}\r\nAccept: */*",
    "code": "value = f('{}')  # see above",
}
"""Eleven surroundings. `escaped` is text inside JSON: the value is escaped as JSON is."""


def place(context: str, value: str) -> str:
    """``value`` in the surroundings ``context``."""
    if context == "escaped":
        return '{"text": "say ' + json.dumps(json.dumps(value)[1:-1])[1:-1].join(['\\\\\\"', '\\\\\\"']) + ' again"}'
    return CONTEXTS[context].format(*[value] * CONTEXTS[context].count("{}"))
