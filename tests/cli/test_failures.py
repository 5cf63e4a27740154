from __future__ import annotations

import pytest

from orionlm.cli.failures import _failed
from orionlm.errors import UserError


def test_words_of_others_in_an_error_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert _failed(UserError("HTTP 401:\x1b[31m bad\u202e\nkey – naïve")) == 2
    assert capsys.readouterr().err == "error: HTTP 401:\\x1b[31m bad\\u202e key – naïve\n"
