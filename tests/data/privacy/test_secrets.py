from __future__ import annotations

import base64
import json
import random
import string
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orionlm.data.documents import Document
from orionlm.data.filters import KEPT
from orionlm.data.privacy.secrets import BASE62, KINDS, Settings, checker

CHECK = checker(Settings())
RNG = random.Random(7)
ALNUM = string.ascii_letters + string.digits


def document(text: str) -> Document:
    return Document(text, "web", "g", "d")


def drawn(signs: str, count: int) -> str:
    return "".join(RNG.choices(signs, k=count))


def checked(prefix: str) -> str:
    """A token as GitHub gives them out, drawn here: the last six digits are the CRC-32 of the thirty before."""
    body = drawn(BASE62, 30)
    value, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        value, digit = divmod(value, 62)
        digits = BASE62[digit] + digits
    return prefix + body + digits


def encoded(value: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


# Put together here, so that no scanner takes these lines for somebody's.
SECRETS = {
    "GitHub token": [checked("ghp" + "_"), checked("gho" + "_"), checked("ghs" + "_"), checked("ghr" + "_"),
                     "github" + "_pat_" + drawn(ALNUM, 22) + "_" + drawn(ALNUM, 59)],
    "npm token": [checked("npm" + "_")],
    "PyPI token": ["pypi-" + "AgEIcHlwaS5vcmc" + drawn(ALNUM + "-_", 120)],
    "GitLab token": ["glpat" + "-" + drawn(ALNUM, 20)],
    "AWS key": ["AKIA" + drawn("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)],
    "AWS secret": ["aws_secret_access_key=" + drawn(ALNUM + "+/", 40)],
    "Google key": ["AIza" + drawn(ALNUM + "-_", 35)],
    "Slack token": ["xoxb" + "-" + drawn(string.digits, 12) + "-" + drawn(ALNUM, 24)],
    "Stripe key": ["sk_live" + "_" + drawn(ALNUM, 24), "rk_live" + "_" + drawn(ALNUM, 99)],
    "OpenAI key": ["sk-" + drawn(ALNUM, 20) + "T3BlbkFJ" + drawn(ALNUM, 20), "sk-" + drawn(ALNUM, 48),
                   "sk-proj-" + drawn(ALNUM, 74) + "T3BlbkFJ" + drawn(ALNUM, 74)],
    "Anthropic key": ["sk-ant" + "-api03-" + drawn(ALNUM + "-_", 93) + "AA"],
    "Hugging Face token": ["hf" + "_" + drawn(string.ascii_letters, 34)],
    "Telegram token": [drawn("123456789", 9) + ":AA" + drawn(ALNUM, 33)],
    "web token": [f"{encoded({'alg': 'HS256', 'typ': 'JWT'})}.{encoded({'sub': '77', 'iat': 1})}.{drawn(ALNUM, 43)}"],
    "private key": ["-----BEGIN RSA " + "PRIVATE KEY-----\n" + "\n".join(drawn(ALNUM, 64) for _ in range(9))
                    + "\n-----END RSA " + "PRIVATE KEY-----",
                    "-----BEGIN " + "PRIVATE KEY-----\\n" + drawn(ALNUM, 200)],
    "password in a URL": ["postgres://app:" + drawn(ALNUM, 12) + "@db.brown.org/x"],
}  # fmt: skip


@pytest.mark.parametrize("kind", SECRETS)
def test_every_kind_is_masked_and_counted_and_never_told(kind):
    for secret in SECRETS[kind]:
        text = f"key = '{secret}'  # mine\nnext"
        (verdict,) = CHECK([document(text)])
        assert verdict.counts == {kind: 1}, (kind, verdict.counts)
        assert verdict.text and verdict.text.startswith("key = '") and verdict.text.endswith("'  # mine\nnext")
        hidden = secret[-20:] if kind != "password in a URL" else secret.split(":")[2].split("@")[0]
        assert hidden not in verdict.text and hidden not in str(verdict) and "<KEY>" in verdict.text
        assert CHECK([document(verdict.text)]) == [KEPT]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("AKIAIOSFODNN7EXAMPLE", "AWS key"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "AWS secret"),
        ("ghp_" + "x" * 36, "GitHub token"),
        ("ghp_" + "a1B2" * 9, "GitHub token"),
        ("ghp_" + "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ" + "0mLq18", "GitHub token"),
        ("AIza" + "X" * 35, "Google key"),
        ("sk-" + "your1key2goes3here4" * 2 + "0123456789", "OpenAI key"),
        ("https://user:password@host.com/", "password in a URL"),
        ("postgres://postgres:postgres@localhost:5432/db", "password in a URL"),
        ("amqp://me:t0psXYZq@127.0.0.1/", "password in a URL"),
    ],
)
def test_what_stands_for_a_secret_is_counted_as_an_example_and_stays(text, kind):
    (verdict,) = CHECK([document(text)])
    assert verdict.counts == {f"{kind} (example)": 1} and verdict.text is None


def test_a_checksum_published_by_its_maker_is_right():
    assert CHECK([document("ghp_" + "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ" + "0mLq17")])[0].counts == {"GitHub token": 1}


@pytest.mark.parametrize(
    "text",
    [
        "commit 356a192b7913b04c54574d18c28d46e6395428ab by AKIA, see ghp_ and sk-learn, hf_hub_download(repo)",
        "-----BEGIN PUBLIC KEY-----\n" + drawn(ALNUM, 64) + "\n-----END PUBLIC KEY-----",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "eyJhbGciOiJub3BlIn0.eyJub3QganNvbg.abcdefghijklmnopqrst",
        "http://host:8080/path@x ftp://a.b/c:d@e",
        drawn(ALNUM + "+/", 40),
        "",
    ],
)
def test_what_is_no_secret_stays(text):
    assert CHECK([document(text)]) == [KEPT]


def test_a_secret_near_its_key_is_found_without_a_name():
    key, secret = SECRETS["AWS key"][0], drawn(ALNUM + "+/", 40)
    (verdict,) = CHECK([document(f"{key},\n  {secret}\nsha1 356a192b7913b04c54574d18c28d46e6395428ab")])
    assert verdict.counts == {"AWS key": 1, "AWS secret": 1}
    assert verdict.text == "<KEY>,\n  <KEY>\nsha1 356a192b7913b04c54574d18c28d46e6395428ab"


def test_only_the_chosen_kinds_are_replaced_by_what_is_chosen():
    check = checker(Settings(replace={"npm token": "<NPM>"}))
    (verdict,) = check([document(f"{SECRETS['npm token'][0]} {SECRETS['AWS key'][0]}")])
    assert verdict.text == f"<NPM> {SECRETS['AWS key'][0]}"


def test_mistakes_are_told():
    with pytest.raises(ValidationError, match="no such kind; known are GitHub token"):
        Settings(replace={"gitub": "x"})
    with pytest.raises(ValidationError, match="looks like a secret"):
        Settings(replace={"npm token": checked("npm" + "_")})


EVERY = [secret for secrets in SECRETS.values() for secret in secrets]
PIECES = [*EVERY, " ", "\n", "-", "=", ".", "eyJ", "://", "a:", "@b", "-----BEGIN PRIVATE KEY-----", "AKIA", "x", '"']


@given(st.text() | st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_masking_twice_is_masking_once_and_text_without_finds_is_left(text):
    (verdict,) = CHECK([document(text)])
    assert set(verdict.counts) <= {*KINDS, *(f"{kind} (example)" for kind in KINDS)}
    (again,) = CHECK([document(verdict.text or text)])
    assert again.text is None
    if not verdict.counts:
        assert verdict == KEPT


MB = 1_000_000


@pytest.mark.parametrize(
    "unit",
    ["-----BEGIN PRIVATE KEY-----\n", "eyJ", " eyJaaaaaaaaaaaa.eyJ", "AKIA" + "A" * 16 + " ", "://a:b",
     "://u:Xk29fTTq@h ", " sk-" + "a" * 120, " xoxb-" + "a" * 200, "12345678:AA", "aws secret ", "A1b/" * 10 + " ", "a",
     "\0", "://" + "a" * 90 + ":"],
)  # fmt: skip
def test_hostile_text_takes_seconds_at_most(unit):
    began = time.process_time()
    CHECK([document(unit * (MB // len(unit)))])
    assert time.process_time() - began < 4


@pytest.mark.parametrize(
    "text",
    ["github://owner:repository@main/x", "http://myuser:mypassword@myserver.com/", "://foo.com:123,foo:bar@x.com"],
)
def test_what_only_looks_like_a_password_in_an_address_stays(text):
    assert (CHECK([document(text)])[0].text or text) == text
