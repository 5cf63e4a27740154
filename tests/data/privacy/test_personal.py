from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from orionlm.data.documents import Document
from orionlm.data.filters import KEPT
from orionlm.data.privacy.personal import PLACEHOLDERS, Settings, checker
from orionlm.errors import UserError

CHECK = checker(Settings())


def document(text: str) -> Document:
    return Document(text, "web", "g", "d")


def masked(text: str, settings: Settings | None = None) -> str:
    (verdict,) = (checker(settings) if settings else CHECK)([document(text)])
    assert verdict.reason == "", "nothing is thrown away for it"
    return text if verdict.text is None else verdict.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to jane.doe+news@mail.brown-co.co.uk.", "Write to <EMAIL>."),
        ("Jörg <jörg@müller.de>, mailto:ann@web.de?x", "Jörg <<EMAIL>>, mailto:<EMAIL>?x"),
        ("ann@web.de,bob@gmx.net", "<EMAIL>,<EMAIL>"),
        ("the server 93.184.216.34 fell", "the server <IP_ADDRESS> fell"),
        ("ssh 52.14.0.3 and http://52.14.0.4:8080/", "ssh <IP_ADDRESS> and http://<IP_ADDRESS>:8080/"),
        ("from [2606:2800:220:1:248:1893:25c8:1946]", "from [<IP_ADDRESS>]"),
        ("ring +1 212-736-5000, (212) 736-5000 or 212.736.5000", "ring <PHONE>, <PHONE> or <PHONE>"),
        ("+49 30 901820, +44 20 7946 0958", "<PHONE>, <PHONE>"),
        ("Tel.: 212 736 5000", "Tel.: <PHONE>"),
        ("IBAN DE89 3704 0044 0532 0130 00, GB82WEST12345698765432.", "IBAN <IBAN>, <IBAN>."),
        ("paid by 4532 0151 1283 0366 and card 371449635398431", "paid by <CARD> and card <CARD>"),
        ("default_rng(4024007103939509)", "default_rng(4024007103939509)"),
    ],
)
def test_what_is_personal_is_masked(text, expected):
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "noreply@shop.com no-reply@x.org git@github.com:a/b.git ann@example.com root@localhost user@host",
        "y = W@x.to(device) + a@b.T; icon@2x.png; @app.route; 1@2.3; https://ann@host.org/x",
        "version 1.2.3.4, foo==10.2.130.4, Chrome/91.0.44.124, v2.0.100.1, 3.200.0.1-rc1, section 4.200.1.2",
        "1.2.3.4 and 0.1.2.3 and 300.1.200.3 and 1.200.3 and 1.2.3.200.5",
        "192.168.1.1 10.0.0.1 127.0.0.1 172.16.200.3 255.255.255.0 224.0.0.251 169.254.169.254",
        "192.0.2.77 198.51.100.200 203.0.113.99 2001:db8::8a2e:370:7334 fe80::1ff:fe23:4567:890a ::1",
        "std::vector a::b dead::beef x[2000::2] 12:34:56 00:1b:44:11:3a:b7 2023:11:05",
        "+123456789012345 x+4930901820 100-200-300 555-1234 2024-01-02 1234567890 3.14159265358979",
        "DE89 3704 0044 0532 0130 01 XX89370400440532013000 AB12CD34EF56",
        "4532 0151 1283 0367 0.4532015112830366 1234567890123456 0000000000000000 4532015112830366.5",
        "",
    ],
)
def test_what_is_nobodys_or_no_such_thing_stays(text):
    assert CHECK([document(text)]) == [KEPT]


def test_finds_are_counted_by_kind_and_not_told():
    (verdict,) = CHECK([document("ann@web.de, bob@web.de, +1 212-736-5000")])
    assert verdict.counts == {"e-mail": 2, "phone": 1}
    assert "ann" not in verdict.detail and "736" not in verdict.detail


def test_only_the_chosen_kinds_are_replaced_by_what_is_chosen():
    settings = Settings(replace={"e-mail": "firstname.lastname@example.com"})
    assert masked("ann@web.de 93.184.216.34", settings) == "firstname.lastname@example.com 93.184.216.34"


def test_what_is_allowed_stays():
    settings = Settings(allow=("Brown.org", "+1 212-736-5000"))
    assert masked("ann@brown.org bob@web.de +1 212-736-5000", settings) == "ann@brown.org <EMAIL> +1 212-736-5000"


def test_numbers_of_other_countries_are_known_by_their_regions():
    assert masked("Tel: 030 901820") == "Tel: 030 901820"
    assert masked("Tel: 030 901820", Settings(regions=("DE",))) == "Tel: <PHONE>"


def test_mistakes_are_told():
    with pytest.raises(ValidationError, match="would be found again"):
        Settings(replace={"e-mail": "someone@web.de"})
    with pytest.raises(ValidationError):
        Settings(replace={"name": "<NAME>"})
    with pytest.raises(UserError, match="'Germany' is no country's code"):
        checker(Settings(regions=("Germany",)))


WRITTEN = "ann @ web . de 93.184.216.34 +1 212 - 736 5000 DE89370400440532013000 : // 4532015112830366 1 tel ( ) < é v"
PIECES = [*WRITTEN.split(), "2606:2800:220:1:248:1893:25c8:1946", " ", "\n", *PLACEHOLDERS.values()]


@given(st.text() | st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
@example("ann@web.de@web.de")
@example("+1 212-736-5000 212-736-5000")
def test_masking_twice_is_masking_once_and_text_without_finds_is_left(text):
    (verdict,) = CHECK([document(text)])
    assert bool(verdict.counts) == (verdict.text is not None)
    assert CHECK([document(verdict.text or text)]) == [KEPT]


@given(st.lists(st.text(max_size=50), max_size=5))
def test_documents_are_judged_by_themselves(texts):
    assert CHECK([document(text) for text in texts]) == [CHECK([document(text)])[0] for text in texts]


MB = 1_000_000


@pytest.mark.parametrize(
    "unit",
    ["7", "@", "a@", "a@b.", "1.", "+1 2", "2001:", "DE89", "tel 1", "(", "4", "-@a-", "\0", "0 ", "א", "a.a@a-",
     "+1 212-736-5000 ", "93.184.216.34 ", "4532015112830366 ", "u@web.de "],
)  # fmt: skip
def test_hostile_text_takes_seconds_at_most(unit):
    began = time.process_time()
    CHECK([document(unit * (MB // len(unit)))])
    assert time.process_time() - began < 4
