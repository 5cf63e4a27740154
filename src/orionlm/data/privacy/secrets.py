"""Which keys, tokens and passwords stand in a text? They are masked, by checksum where their maker put one in.

GitHub's and npm's tokens end in a CRC-32 of what stands before it, a web token's header decodes to JSON. What is
written in place of a secret (AKIAIOSFODNN7EXAMPLE, ghp_xxxx…) is counted as an example and stays, as does a token whose
checksum is wrong: nobody gave it out. Of what was found only its kind is ever told.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from orionlm.data.documents import Document
from orionlm.data.filters import KEPT, Check, Verdict
from orionlm.data.privacy.masking import Found, likely, masked

MOST = 4096  # characters of a token
MOST_KEY = 1 << 15  # characters of a private key's block
NEAR = 400  # characters around an AWS key's name in which its secret is looked for
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Token(NamedTuple):
    """A kind of token: how it begins, its whole pattern, and whether one that looks so was given out."""

    kind: str
    mark: str
    pattern: re.Pattern[str]
    is_real: Callable[[str], bool] = lambda token: True


def has_crc(token: str) -> bool:
    """Six digits of base 62 at the end: the CRC-32 of what stands behind the prefix (GitHub's, and npm's, of 2021)."""
    _, _, body = token.partition("_")
    value = 0
    for sign in body[-6:]:
        value = value * 62 + BASE62.index(sign)
    return value == zlib.crc32(body[:-6].encode())


def _token(kind: str, mark: str, rest: str, is_real: Callable[[str], bool] = lambda token: True) -> Token:
    return Token(kind, mark, re.compile(re.escape(mark) + rest + r"(?![A-Za-z0-9_])"), is_real)


TOKENS = (
    *(_token("GitHub token", f"gh{letter}_", "[A-Za-z0-9]{36}", has_crc) for letter in "pousr"),
    _token("GitHub token", "github_pat_", "[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    _token("npm token", "npm_", "[A-Za-z0-9]{36}", has_crc),
    _token("PyPI token", "pypi-AgEIcHlwaS5vcmc", r"[\w-]{50,1000}"),
    _token("GitLab token", "glpat-", r"[\w-]{20}(?:\.[0-9a-z.]{9,20})?"),
    *(_token("AWS key", mark, "[A-Z2-7]{16}") for mark in ("AKIA", "ASIA")),
    _token("Google key", "AIza", r"[\w-]{35}"),
    _token("Google key", "GOCSPX-", r"[\w-]{28}"),
    _token("Google token", "ya29.", r"[\w-]{50,1000}"),
    _token("Slack token", "xox", r"[abeoprs](?:\.[a-z]+)?-[A-Za-z0-9-]{20,250}"),
    _token("Slack token", "xapp-", r"\d-[A-Z0-9]+-\d+-[a-z0-9]{32,128}"),
    _token("Slack webhook", "hooks.slack.com/services/", "T[A-Z0-9]{7,12}/B[A-Z0-9]{7,12}/[A-Za-z0-9]{20,30}"),
    *(_token("Stripe key", mark, "[A-Za-z0-9]{16,247}") for mark in ("sk_live_", "rk_live_", "sk_test_", "rk_test_")),
    _token("Stripe key", "whsec_", "[A-Za-z0-9+/]{32,64}={0,2}"),
    _token("Anthropic key", "sk-ant-", r"(?:api|admin|oat|ort)\d\d-[\w-]{80,120}"),
    _token(
        "OpenAI key", "sk-", r"(?:(?:(?:proj|svcacct|admin|None)-)?[\w-]{20,128}T3BlbkFJ[\w-]{20,128}|[A-Za-z0-9]{48})"
    ),
    _token("Hugging Face token", "hf_", "[A-Za-z]{34}"),
    _token("Hugging Face token", "api_org_", "[A-Za-z]{34}"),
    _token("SendGrid key", "SG.", r"[\w-]{22}\.[\w-]{43}"),
    _token("DigitalOcean token", "dop_v1_", "[a-f0-9]{64}"),
    _token("Databricks token", "dapi", r"[a-f0-9]{32}(?:-\d)?"),
    _token("Shopify token", "shpat_", "[a-fA-F0-9]{32}"),
    _token("Docker token", "dckr_pat_", r"[\w-]{27}"),
    _token("Groq key", "gsk_", "[A-Za-z0-9]{52}"),
    _token("Replicate token", "r8_", "[A-Za-z0-9]{37}"),
    _token("Vault token", "hvs.", r"[\w-]{90,120}"),
    _token("Azure key", "AccountKey=", "[A-Za-z0-9+/]{86}=="),
)
WEB_TOKEN = _token("web token", "eyJ", r"[\w-]{10,2000}\.eyJ[\w-]{5,4000}\.[\w-]{16,2000}")
KINDS = tuple(dict.fromkeys(token.kind for token in TOKENS)) + (
    "web token",
    "AWS secret",
    "Telegram token",
    "private key",
    "password in a URL",
)


class Settings(BaseModel):
    """`replace`: what is looked for, and what stands there instead (StarCoder's placeholder)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    replace: dict[str, str] = Field(default_factory=lambda: dict.fromkeys(KINDS, "<KEY>"))
    domains: tuple[str, ...] = ()

    @field_validator("replace")
    @classmethod
    def _is_known_and_stable(cls, replace: dict[str, str]) -> dict[str, str]:
        for kind, text in replace.items():
            if kind not in KINDS:
                raise ValueError(f"{kind!r}: no such kind; known are {', '.join(KINDS)}")
            if re.search(r"[\w@/+=-]{8}|://", text):
                raise ValueError(f"{kind} = {text!r} looks like a secret itself; use a short word, like <KEY>")
        return replace


def checker(settings: Settings) -> Check:
    # Where an access key is, its secret is near; nothing else tells that one.
    patterns = {kind: pattern for kind, pattern in _LIKELY.items() if kind in settings.replace}

    def check(documents: Sequence[Document]) -> list[Verdict]:
        texts = [document.text for document in documents]
        kinds = likely(texts, patterns)
        return [judge(text, own) if own else KEPT for text, own in zip(texts, kinds, strict=True)]

    def judge(text: str, kinds: Sequence[str]) -> Verdict:
        def find(text: str) -> list[Found]:
            return [one for kind in kinds for one in _FINDERS[kind](text)]

        return masked(text, find, settings.replace)

    return check


def is_example(written: str) -> bool:
    """Whether this was written in place of a secret: it says so, counts up, or has next to no different signs."""
    bare = re.sub(r"[^a-z0-9]", "", written.lower())
    return (
        bool(_SAYS_SO.search(written))
        or len(set(bare)) < max(4, min(10, len(bare) // 3))
        or any(run in bare for run in ("1234567890", "0123456789", "abcdefghij", "deadbeefdead", "qwertyuiop"))
    )


def _tokens(tokens: Sequence[Token]) -> Callable[[str], Iterator[Found]]:
    def find(text: str) -> Iterator[Found]:
        for token in tokens:
            at = text.find(token.mark)
            while at >= 0:
                begins = at == 0 or not (text[at - 1].isalnum() or text[at - 1] in "_-")
                match = token.pattern.match(text, at, at + MOST) if begins else None
                if match:
                    written = match.group()
                    real = token.is_real(written) and not is_example(written[len(token.mark) :])
                    yield Found(*match.span(), token.kind, real)
                at = text.find(token.mark, match.end() if match else at + 1)

    return find


def _web_tokens(text: str) -> Iterator[Found]:
    """What decodes to JSON objects, the header with an algorithm (RFC 7519)."""
    for one in _tokens([WEB_TOKEN])(text):
        parts = text[one.start : one.end].split(".")[:2]
        try:
            header, claims = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts)
        except (ValueError, RecursionError):
            continue
        if isinstance(header, dict) and "alg" in header and isinstance(claims, dict):
            # The one that every introduction shows is for John Doe, 1234567890.
            yield one._replace(mask=one.mask and claims.get("sub") != "1234567890")


def _telegram(text: str) -> Iterator[Found]:
    """A bot's number and its token: nothing certain stands at the beginning."""
    for match in _TELEGRAM.finditer(text):
        yield Found(*match.span(), "Telegram token", not is_example(match.group(1)))


def _aws_secrets(text: str) -> Iterator[Found]:
    """Forty signs of base 64 near the name of a key or of what they are; forty hexadecimal digits are a commit."""
    begin = 0
    for name in _AWS_NAME.finditer(text):
        for match in _AWS_SECRET.finditer(text, max(begin, name.start() - NEAR), name.end() + NEAR):
            written, begin = match.group(), match.end()
            if all(re.search(signs, written) for signs in ("[a-z]", "[A-Z]", "[0-9+/]")):
                yield Found(*match.span(), "AWS secret", not is_example(written))
        begin = max(begin, name.end() + NEAR - 40)


def _private_keys(text: str) -> Iterator[Found]:
    for begin in _PEM_BEGIN.finditer(text):
        stop = text.find("-----", begin.end(), begin.end() + MOST_KEY)
        whole = stop >= 0 and text.startswith(f"-----END {begin.group(1)}-----", stop)
        body = text[begin.end() : stop if stop >= 0 else begin.end() + MOST_KEY]
        if not whole:
            body = body[: _PEM_BODY.match(body).end()]  # type: ignore[union-attr]  # the empty text matches too
        end = stop + len(f"-----END {begin.group(1)}-----") if whole else begin.end() + len(body)
        signs = re.sub(r"[^A-Za-z0-9+/]", "", body)
        if len(signs) >= LEAST_KEY:
            yield Found(begin.start(), end, "private key", "..." not in body and len(set(signs)) > 16)


def _passwords(text: str) -> Iterator[Found]:
    at = text.find("://")
    while at >= 0:
        match = _CREDENTIALS.match(text, at, at + 512)
        if match:
            user, password, host = match.group("user", "password", "host")
            example = (
                is_example(password)
                or password.lower() in (user.lower(), *_NO_PASSWORDS)
                or "password" in password.lower()
                or text.endswith(_NO_SCHEMES, 0, at)
                or _NO_HOST.match(host)
            )
            yield Found(*match.span("password"), "password in a URL", not example)
        at = text.find("://", at + 3)


LEAST_KEY = 40  # signs of base 64 in a private key
_SAYS_SO = re.compile(
    r"(?i)example|sample|dummy|fake|placeholder|your|changeme|redacted|secret|insert|replace|test_?key|xxxx|\*\*\*|\.\.\."
)
_AWS_NAME = re.compile(r"(?:AKIA|ASIA)[A-Z2-7]{16}|(?i:aws.{0,20}secret|secret_?access_?key)")
_AWS_SECRET = re.compile(r"(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
_TELEGRAM = re.compile(r"(?<![\w-])\d{8,10}:(AA[\w-]{33})(?![\w-])")
_PEM_BEGIN = re.compile(r"-----BEGIN ((?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?)-----")
_PEM_BODY = re.compile(r"(?:[A-Za-z0-9+/=:,.\-]|\\n|\s)*")
_CREDENTIALS = re.compile(
    r"://(?P<user>[^\s:/?#@\"'<>\[\]{}()|\\]{0,100}):(?P<password>[^\s,/?#@\"'<>\[\]{}()|\\]{3,200})"
    r"@(?P<host>[\w.-]{1,253})"
)
_NO_SCHEMES = ("github", "gist", "git")  # what stands before the @ there is a repository
_NO_PASSWORDS = (
    "password",
    "passwd",
    "pass",
    "passw0rd",
    "pwd",
    "pw",
    "secret",
    "token",
    "admin",
    "root",
    "guest",
    "test",
    "user",
    "key",
    "postgres",
    "mysql",
    "none",
    "null",
    "x-oauth-basic",
)
_NO_HOST = re.compile(
    r"(?:localhost|127\.0\.0\.1|0\.0\.0\.0|db|host|hostname|server|redis|postgres|mysql|mongo|rabbitmq|proxy"
    r"|(?:.*\.)?(?:example(?:\.\w+)?|test|invalid|local))$"
)

_BY_KIND = {kind: [token for token in TOKENS if token.kind == kind] for kind in dict.fromkeys(t.kind for t in TOKENS)}
_FINDERS: dict[str, Callable[[str], Iterator[Found]]] = {
    **{kind: _tokens(tokens) for kind, tokens in _BY_KIND.items()},
    "web token": _web_tokens,
    "AWS secret": _aws_secrets,
    "Telegram token": _telegram,
    "private key": _private_keys,
    "password in a URL": _passwords,
}
# What a text must hold at least, for RE2.
_LIKELY = {
    **{kind: "|".join(re.escape(token.mark) for token in tokens) for kind, tokens in _BY_KIND.items()},
    "web token": WEB_TOKEN.mark,
    "AWS secret": r"AKIA|ASIA|(?i:aws.{0,20}secret|secret_?access_?key)",
    "Telegram token": r"\d{8}:AA",
    "private key": "-----BEGIN [A-Z0-9 ]*PRIVATE KEY",
    "password in a URL": r"://[^\s:/?#@\"'<>]*:[^\s/?#@\"'<>]+@",
}
