"""May this text be trained on? SPDX expressions against lists of what is allowed and what is denied.

What is synthetic carries its seed's licence and its teacher's terms, `MIT AND LicenseRef-TERMS`, so that one policy
judges both. Identifiers are those of the SPDX License List; it and families of it (`permissive`, `copyleft`, …) are in
`licences.toml`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import resources
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, field_validator

from orionlm.errors import UserError
from orionlm.settings import nearest

UNKNOWN = "unknown"
LONGEST = 2000  # characters of an expression; a longer one is no licence's name
OWN = re.compile(r"(documentref-[a-z0-9.-]+:)?licenseref-[a-z0-9.-]+")
NAMED = 3
Leaf = Callable[[str], str]


class Policy(BaseModel):
    """`allow`: nothing else may be used, where it names anything; `deny`: wins over it. Entries are SPDX identifiers,
    patterns of them (`GPL-*`), families, or the LicenseRef-… of terms that SPDX does not list.

    `GPL-3.0` covers its -only and -or-later; "or later" counts as the version it names; an exception (`A WITH B`) is
    judged as A, unless a list names it whole. Of `A OR B` one is enough, `A AND B` need both. `unknown` says what
    happens to text whose licence is not known: no SPDX expression, or own terms that neither list names. `stated`
    gives the licence of a source, or of a teacher, where you know better than its rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    unknown: Literal["allow", "deny"] | None = None
    stated: dict[str, str] = {}

    @field_validator("allow", "deny")
    @classmethod
    def _known(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            problem = _entry_problem(entry)
            if problem:
                raise ValueError(problem)
        return entries

    @field_validator("stated")
    @classmethod
    def _expressions(cls, stated: dict[str, str]) -> dict[str, str]:
        for source, licence in stated.items():
            if judged(licence, lambda name: "" if is_licence(name) else name) != "":
                raise ValueError(f"{licence!r} of {source} is no SPDX expression: write e.g. 'MIT OR Apache-2.0'")
        return stated

    @property
    def given(self) -> bool:
        return bool(self.allow or self.deny or self.unknown)

    def forbids(self, licence: str) -> str:
        """Why text under `licence`, an SPDX expression, may not be used; "" where it may. Any text is answered."""
        if not self.given:
            return ""
        why = judged(licence, self._leaf)
        return self._not_known() if why is None else why

    def _leaf(self, name: str) -> str:
        denied = next((entry for entry in self.deny if covers(entry, name)), None)
        allowed = next((entry for entry in self.allow if covers(entry, name)), None)
        if " with " in name.lower() and allowed and allowed.lower() == name.lower():
            return ""
        if denied:
            return f'deny holds "{denied}"'
        if allowed:
            return ""
        if not is_licence(name) or OWN.fullmatch(name.lower()):
            return self._not_known()
        return "allow does not hold it" if self.allow else ""

    def _not_known(self) -> str:
        return "" if self.unknown == "allow" else 'the licence is not known, and unknown = "allow" is not set'


class Forbidden(NamedTuple):
    """Text that a policy keeps out: what it is, why, and how much of it."""

    domain: str
    source: str
    licence: str
    why: str
    documents: int
    bytes: int


def forbidden(policy: Policy, domains: Mapping[str, Mapping[str, Any]]) -> list[Forbidden]:
    """What of these domains (as `tokens.json` accounts for them) the policy keeps out, the most bytes first.

    UserError where `stated` names a source that is not there.
    """
    found, sources = [], set()
    for domain, account in domains.items():
        for licence, under in account["licences"].items():
            for source, size in under["sources"].items():
                sources.add(source)
                said = policy.stated.get(source, licence)
                why = policy.forbids(said)
                if why:
                    found.append(Forbidden(domain, source, said, why, size["documents"], size["bytes"]))
    for source in policy.stated:
        if source not in sources:
            raise UserError(f"licences.stated: no source {source!r} in this text; {nearest(source, sources)}")
    return sorted(found, key=lambda item: (-item.bytes, item))


def check(policy: Policy, domains: Mapping[str, Mapping[str, Any]]) -> None:
    """UserError, one line with what, why and the mends, where these domains hold text that the policy keeps out."""
    found = forbidden(policy, domains)
    if not found:
        return
    shown = "; ".join(
        f"{item.documents:,} documents ({item.bytes:,} bytes) of source {item.source!r} in domain {item.domain!r} are "
        f"{item.licence!r}: {item.why}"
        for item in found[:NAMED]
    )
    more = f"; and {len(found) - NAMED} more like these" if len(found) > NAMED else ""
    first = found[0]
    mends = [f"take the source out of the corpus, give weights without {first.domain!r}"]
    if "not known" in first.why:
        mends.append(f"state the licence where you know it: licences.stated = {{ '{first.source}' = 'MIT' }}")
        mends.append('or set licences.unknown = "allow"')
    else:
        mends.append("or change licences.allow and licences.deny")
    raise UserError(f"licences: {shown}{more}; {', '.join(mends)}")


def judged(expression: str, leaf: Leaf) -> str | None:
    """`leaf`'s verdict ("" is yes) over an SPDX expression: OR needs one yes, AND both, WITH goes to the leaf whole.

    None where it is no expression (or longer than `LONGEST`). WITH binds before AND, AND before OR; operators in any
    case (SPDX specification 3.0, annex B). No recursion: parentheses may be as deep as they like.
    """
    if len(expression) > LONGEST:
        return None
    values: list[str] = []
    waiting: list[str] = []

    def close(until: str) -> None:
        while waiting and waiting[-1] != "(" and (waiting[-1] == "AND" or until != "AND"):
            operator, right, left = waiting.pop(), values.pop(), values.pop()
            values.append(left or right if operator == "AND" else left and right and left)

    operand_is_due = True
    for word in _words(expression):
        operator = word.upper() if word.upper() in ("AND", "OR") else word
        if operand_is_due:
            if word == "(":
                waiting.append(word)
                continue
            if operator in ("AND", "OR", ")") or word.upper() == "WITH":
                return None
            values.append(leaf(word))
            operand_is_due = False
        elif operator in ("AND", "OR"):
            close(operator)
            waiting.append(operator)
            operand_is_due = True
        elif word == ")":
            close(word)
            if not waiting:
                return None
            waiting.pop()
        else:
            return None
    if operand_is_due:
        return None
    close("")
    return values[0] if not waiting else None


def _words(expression: str) -> Iterator[str]:
    """Parentheses, operators, and licences, `A WITH B` as one."""
    words = re.findall(r"[()]|[^\s()]+", expression)
    at = 0
    while at < len(words):
        if len(words) > at + 2 and words[at + 1].upper() == "WITH" and not {words[at], words[at + 2]} & {"(", ")"}:
            yield f"{words[at]} WITH {words[at + 2]}"
            at += 3
        else:
            yield words[at]
            at += 1


def covers(entry: str, name: str) -> bool:
    """Whether an entry of a list covers a licence; both in any case."""
    names = _names(name)
    if entry.lower() in _families():
        return any(covers(other, name) for other in _families()[entry.lower()])
    return any(fnmatchcase(one, entry.lower()) for one in names)


def is_licence(name: str) -> bool:
    """Whether SPDX lists it (an exception apart), or it is a LicenseRef."""
    bare = re.split(r"\s+with\s+", name.lower(), maxsplit=1)[0]
    return bare.removesuffix("+") in _identifiers() or bare in _identifiers() or bool(OWN.fullmatch(bare))


def _names(name: str) -> set[str]:
    """What a licence may be called in a list: itself, without its exception, and as the versions of GNU's were called
    before -only and -or-later."""
    name = " ".join(name.lower().split())
    bare = name.split(" with ")[0]
    names = {name, bare}
    if bare.endswith("+"):
        names |= {bare[:-1], f"{bare[:-1]}-or-later"}
    for ending in ("-only", "-or-later"):
        if bare.endswith(ending):
            names.add(bare.removesuffix(ending))
    if f"{bare}-only" in _identifiers():
        names.add(f"{bare}-only")
    return names


def _entry_problem(entry: str) -> str:
    lower = " ".join(entry.lower().split())
    if lower in _families() or is_licence(lower):
        return ""
    if "*" in lower and (lower.startswith("licenseref-") or any(fnmatchcase(i, lower) for i in _identifiers())):
        return ""
    if lower == UNKNOWN:
        return "say what happens to unknown licences with unknown = 'allow' or 'deny', beside the lists"
    known = [*_identifiers().values(), *_families()]
    close = nearest(lower, known)
    mend = close if close.startswith("did you mean") else f"families: {', '.join(sorted(_families()))}"
    return f"{entry!r} is no SPDX identifier, pattern or family; {mend} (own terms are called LicenseRef-…)"


@lru_cache(maxsize=1)
def _listed() -> dict[str, Any]:
    return tomllib.loads(resources.files("orionlm.data.licences").joinpath("licences.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _identifiers() -> dict[str, str]:
    """Lower case → as SPDX writes it."""
    return {name.lower(): name for name in _listed()["identifiers"]["licences"].split()}


def _families() -> dict[str, list[str]]:
    return _listed()["families"]
