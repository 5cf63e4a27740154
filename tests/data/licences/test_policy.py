from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orionlm.data.licences import policy as licences
from orionlm.data.licences.policy import Policy, check, covers, is_licence, judged
from orionlm.errors import UserError

TREES = st.recursive(
    st.sampled_from(["MIT", "GPL-2.0-only", "CC0-1.0"]),
    lambda inner: st.tuples(inner, st.sampled_from(["AND", "OR"]), inner),
    max_leaves=12,
)
DENIED = "GPL-2.0-only"


def written(tree: Any) -> str:
    return tree if isinstance(tree, str) else f"({written(tree[0])} {tree[1]} {written(tree[2])})"


def may(tree: Any) -> bool:
    if isinstance(tree, str):
        return tree != DENIED
    return (all if tree[1] == "AND" else any)(may(side) for side in (tree[0], tree[2]))


@given(TREES)
def test_an_expression_is_permitted_as_its_tree_says(tree: Any) -> None:
    assert (judged(written(tree), lambda name: "no" if name == DENIED else "") == "") == may(tree)


@given(st.lists(st.sampled_from(["MIT", DENIED, "CC0-1.0"]), min_size=1, max_size=7), st.data())
def test_and_binds_before_or(names: list[str], data: st.DataObject) -> None:
    joins = data.draw(st.lists(st.sampled_from([" AND ", " OR ", " and "]), min_size=6, max_size=6))
    text = "".join(a + b for a, b in zip(names, [*joins[: len(names) - 1], ""], strict=True))
    due = any(DENIED.upper() not in part.split(" AND ") for part in text.upper().split(" OR "))
    assert (judged(text, lambda name: "no" if name == DENIED else "") == "") == due


@given(st.text(max_size=300) | st.text("()MITANDORWITHGPL-+ \n", max_size=200))
def test_any_text_is_answered(text: str) -> None:
    assert isinstance(Policy(allow=("permissive",), deny=("GPL-*",)).forbids(text), str)


@pytest.mark.parametrize("text", ["(" * 1_000_000, "MIT AND " * 200_000, "((MIT) " * 100_000, "x" * 10_000_000])
def test_hostile_text_is_answered_at_once(text: str) -> None:
    began = time.perf_counter()
    assert "not known" in Policy(allow=("MIT",)).forbids(text)
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize(
    "text", ["", "MIT AND", "OR MIT", "MIT MIT", "(MIT", "MIT)", "()", "MIT WITH", "WITH MIT", "MIT License"]
)
def test_what_is_no_expression_is_unknown(text: str) -> None:
    assert judged(text, lambda name: "") is None
    assert "not known" in Policy(allow=("MIT",)).forbids(text)
    assert Policy(allow=("MIT",), unknown="allow").forbids(text) == ""


@pytest.mark.parametrize(
    ("policy", "licence", "why"),
    [
        ({}, "GPL-3.0-only", ""),
        ({"allow": ["permissive"]}, "mit", ""),
        ({"allow": ["permissive"]}, "GPL-3.0-only", "allow does not hold it"),
        ({"allow": ["permissive"]}, "CC-BY-NC-4.0", "allow does not hold it"),
        ({"allow": ["permissive"]}, "MIT OR GPL-3.0-only", ""),
        ({"allow": ["permissive"]}, "MIT AND GPL-3.0-only", "allow does not hold it"),
        ({"allow": ["permissive"]}, "LicenseRef-Acme", "not known"),
        ({"allow": ["LicenseRef-Acme"]}, "MIT AND LicenseRef-Acme", "allow does not hold it"),
        ({"allow": ["MIT", "licenseref-acme"]}, "MIT AND LicenseRef-Acme", ""),
        ({"deny": ["copyleft"]}, "AGPL-3.0-or-later", 'deny holds "copyleft"'),
        ({"deny": ["copyleft"]}, "LGPL-2.1+", 'deny holds "copyleft"'),
        ({"deny": ["copyleft"]}, "MIT", ""),
        ({"deny": ["copyleft"]}, "unknown", "not known"),
        ({"deny": ["copyleft"], "unknown": "allow"}, "unknown", ""),
        ({"deny": ["LicenseRef-*"], "unknown": "allow"}, "MIT AND LicenseRef-Terms", 'deny holds "LicenseRef-*"'),
        ({"unknown": "deny"}, "unknown", "not known"),
        ({"unknown": "deny"}, "GPL-3.0-only", ""),
        ({"allow": ["permissive"], "deny": ["MIT"]}, "MIT", 'deny holds "MIT"'),
        ({"deny": ["GPL-3.0"]}, "GPL-3.0-or-later", 'deny holds "GPL-3.0"'),
        ({"deny": ["GPL-3.0-only"]}, "GPL-3.0", 'deny holds "GPL-3.0-only"'),
        ({"deny": ["GPL-3.0-only"]}, "GPL-3.0-or-later", ""),
        ({"deny": ["GPL-*"]}, "LGPL-3.0-only", ""),
        ({"deny": ["copyleft"]}, "GPL-2.0-only WITH Classpath-exception-2.0", 'deny holds "copyleft"'),
        (
            {"allow": ["GPL-2.0-only WITH Classpath-exception-2.0"], "deny": ["copyleft"]},
            "gpl-2.0-only with classpath-exception-2.0",
            "",
        ),
    ],
)  # fmt: skip
def test_a_policy_says_what_may_be_used_and_why_not(policy: dict[str, Any], licence: str, why: str) -> None:
    said = Policy(**policy).forbids(licence)
    assert why in said if why else said == ""


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"deny": ["apache2"]}, "'apache2' is no SPDX identifier, pattern or family; did you mean Apache-2.0"),
        ({"allow": ["harmless"]}, "families: copyleft, network-copyleft"),
        ({"deny": ["Zork-*"]}, "'Zork-\\*' is no SPDX identifier"),
        ({"deny": ["unknown"]}, "unknown = 'allow' or 'deny'"),
        ({"stated": {"notes": "all mine"}}, "'all mine' of notes is no SPDX expression"),
    ],
)
def test_a_slip_in_a_policy_is_named_and_mended(policy: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Policy(**policy)


def test_every_pattern_of_every_family_names_a_licence() -> None:
    listed = licences._listed()
    identifiers = listed["identifiers"]["licences"].split()
    assert len(identifiers) > 600 and all(map(is_licence, identifiers))
    for family, entries in listed["families"].items():
        for entry in entries:
            assert entry in listed["families"] or is_licence(entry) or any(covers(entry, i) for i in identifiers), (
                family,
                entry,
            )
    permissive = {name for name in identifiers if covers("permissive", name)}
    for family in ("copyleft", "share-alike", "non-commercial", "no-derivatives", "source-available"):
        assert not permissive & {name for name in identifiers if covers(family, name)}, family


def domain(**sizes: tuple[str, int]) -> dict[str, Any]:
    """A domain as tokens.json accounts for it, from source → (licence, documents); a document has 100 bytes."""
    held: dict[str, Any] = {}
    for source, (licence, documents) in sizes.items():
        counts = {"documents": documents, "bytes": 100 * documents, "tokens": 30 * documents}
        held.setdefault(licence, {"sources": {}})["sources"][source] = counts
    return {"licences": held}


def test_forbidden_text_blocks_with_its_domain_source_licence_size_and_mends() -> None:
    text = {
        "code": domain(kernel=("GPL-2.0-only", 1200), tools=("MIT", 10), shell=("GPL-3.0-or-later", 7)),
        "web": domain(pages=("unknown", 3)),
    }
    with pytest.raises(UserError) as caught:
        check(Policy(deny=("copyleft",)), text)
    line = str(caught.value)
    assert "1,200 documents (120,000 bytes) of source 'kernel' in domain 'code' are 'GPL-2.0-only'" in line
    assert line.index("kernel") < line.index("shell") < line.index("pages") and "tools" not in line
    assert "weights without 'code'" in line and "licences.deny" in line and "\n" not in line
    with pytest.raises(UserError, match=r"licences.stated = \{ 'pages' = 'MIT' \}, or set licences.unknown"):
        check(Policy(deny=("copyleft",)), {"web": text["web"]})
    check(Policy(deny=("copyleft",)), {"code": domain(tools=("MIT", 10))})
    check(Policy(), text)


def test_what_is_stated_of_a_source_replaces_what_its_rows_say() -> None:
    text = {"web": domain(pages=("unknown", 3), teacher=("LicenseRef-Terms", 2))}
    stated = {"pages": "CC-BY-4.0", "teacher": "MIT OR Apache-2.0"}
    check(Policy(allow=("permissive",), stated=stated), text)
    with pytest.raises(UserError, match="are 'CC-BY-NC-4.0': allow does not hold it"):
        check(Policy(allow=("permissive",), stated=stated | {"pages": "CC-BY-NC-4.0"}), text)
    with pytest.raises(UserError, match="licences.stated: no source 'page' in this text; did you mean pages"):
        check(Policy(stated={"page": "MIT"}), text)
