"""A data card of hostile text: nothing in it runs, nothing in it is secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orionlm.artifact import Artifact, publish, write_json
from orionlm.report.card import render_card

pytest.importorskip("daft")
HOSTILE = '<script>alert(1)</script><img src=https://evil.example/x onerror=alert(2)>\u202e\x00 & "done"'
PASSWORD = "Tr0ub4dor-9xQ"
ADDRESS = f"https://crawler:{PASSWORD}@archive.files.org/part"


def corpus(folder: Path, **more: Any) -> Artifact:
    total = {"documents": 2, "bytes": 20}
    shares = {f"train_{share}s": {ADDRESS: total, HOSTILE: total} for share in ("domain", "source")}
    told = {"train": total, "validation": total, "split": "by group", "dropped": {}, "held_out": [ADDRESS, "<b>x"]}
    told |= shares | {"train_licences": {"MIT": total}, "sources": [{"rows": [ADDRESS], "domain": "web"}]}
    told |= {"quarantine": {"too long": {"count": 1, "first": [ADDRESS]}}}
    partial = folder / "corpus.partial"
    partial.mkdir()
    write_json(partial / "corpus.json", told | more)
    return publish(partial, folder / "corpus", kind="corpus", settings={}, inputs={}, seed=0, fingerprint="")


def test_names_of_documents_and_sources_are_escaped_and_hold_no_secret(tmp_path):
    page = render_card(corpus(tmp_path))
    assert "archive.files.org" in page and PASSWORD not in page
    assert "<script" not in page and "<img" not in page and "<b>x" not in page
    assert "\x00" not in page and "\u202e" not in page
