"""What people are shown of removed documents holds no secret, wherever a sample is cut."""

from __future__ import annotations

import json
import zlib

import pytest

from orionlm.data.curation.samples import END, LOOKED_AT, SHOWN
from orionlm.data.curation.tally import Tally
from orionlm.data.documents import Document
from orionlm.data.filters import Verdict
from orionlm.data.privacy.secrets import BASE62

pytest.importorskip("daft")


def token() -> str:
    """As GitHub gives them out: its checksum is right."""
    body, value, digits = "Zx7Qm2Lk9Vt4Rw8Bn3Jc6Hd1Fg5Ps0", 0, ""
    value = zlib.crc32(body.encode())
    while value:
        value, digit = divmod(value, 62)
        digits = BASE62[digit] + digits
    return f"ghp_{body}{digits.rjust(6, '0')}"


def sample(text: str, id: str = "a") -> dict:
    tally = Tally()
    tally.remove("gopher", Document(text, id, id, id), len(text), Verdict("bad", f"of {id}"), b"0")
    return tally.as_json()["samples"]["gopher"]["bad"][0]


@pytest.mark.parametrize("end", [SHOWN, LOOKED_AT])
@pytest.mark.parametrize("inside", [1, 20, 39])
def test_a_secret_that_a_cut_goes_through_is_masked(end, inside):
    secret = token()
    text = ("word " * LOOKED_AT)[: end - inside] + " " + secret + " word" * LOOKED_AT
    assert secret[:12] not in json.dumps(sample(text))


def test_a_text_that_masks_make_short_does_not_show_its_own_end():
    secret = token()
    text = (f"{secret} " * LOOKED_AT)[: LOOKED_AT + 17]
    shown = sample(text)["text"]
    assert secret[:12] not in shown and len(secret) < END


def test_a_secret_in_what_a_document_is_called_is_masked():
    secret = token()
    assert secret not in json.dumps(sample("some words", f"https://host.org/?key={secret}&page=1"))


def test_a_sample_is_the_beginning_of_its_text():
    assert sample("plain words " * 5000)["text"] == ("plain words " * 5000)[:SHOWN]
    assert sample("short")["text"] == "short"
