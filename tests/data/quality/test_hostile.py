"""Texts made to take all time or memory. A filter sees each in a few seconds on a slow machine."""

from __future__ import annotations

import time

import pytest

from .asked import verdict

MB = 1 << 20
HOSTILE = {
    "one line": "the cat sat on the mat " * (4 * MB // 23),
    "one word": "a" * 4 * MB,
    "digits": "0123456789" * (4 * MB // 10),
    "newlines": "\n" * 4 * MB,
    "spaces": "a" + " " * 4 * MB + "b",
    "blank lines": "\n \t" * (4 * MB // 3) + "x",
    "short lines": "ab\n" * (4 * MB // 3),
    "quotes": "\"'" * (2 * MB),
    "open quotes": ('"' + "a" * 150) * (4 * MB // 151),
    "backslashes": "\\x" * (2 * MB),
    "full stops": "." * 4 * MB,
    "sentence ends": '."' * (2 * MB),
    "brackets": "[" * 4 * MB,
    "citations": "[1" * (2 * MB),
    "hash marks": "# " * (2 * MB),
    "dashes": "- \n" * (4 * MB // 3),
    "hexadecimal": "0x4f, " * (4 * MB // 6),
    "nearly base64": ("A" * 63 + " ") * (4 * MB // 64),
    "nuls": "\0" * 4 * MB,
    "right to left": "\u202eשלום " * (MB),
    "combining": "e" + "\u0301" * (2 * MB),
    "emoji": "👩‍👩‍👧‍👦" * (MB // 2),
    "generated": "generated " * (MB),
    "licence": "gnu general public license " * (MB // 4),
}


@pytest.mark.parametrize("name", ["language", "gopher", "c4", "fineweb", "code"])
@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_holds_a_filter_up(name, text):
    settings = {"code": {"max_bytes": 1 << 40, "max_line": 1 << 40, "max_lines": 1 << 40, "python": ()}}
    for given in [HOSTILE[text], "It is so that the words be here and have it of us. " * 20 + HOSTILE[text]]:
        began = time.process_time()
        verdict(name, given, **settings.get(name, {}))
        assert time.process_time() - began < 8


def test_no_code_of_a_megabyte_holds_the_parser_up():
    for text in HOSTILE.values():
        began = time.monotonic()
        verdict("code", text[:1_000_000], domain="code", python=("",))
        assert time.monotonic() - began < 30
