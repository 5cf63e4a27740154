"""Which e-mail and internet addresses, telephone, account and card numbers of people stand in a text? They are masked.

Only what is well formed and real counts: public addresses, telephone numbers that are given out, accounts and cards
whose check digits are right. What stands for nobody stays: noreply@, example.com (RFC 2606), addresses for
documentation (RFC 5737, RFC 3849). Placeholders as StarCoder's (2305.06161, section 4). Names and street addresses are
not looked for.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from orionlm.data.documents import Document
from orionlm.data.filters import KEPT, Check, Verdict
from orionlm.data.privacy.masking import Found, apart, likely, masked
from orionlm.data.privacy.registered import IBAN_SIZES, NOBODY, NOWHERE, RESOLVERS, TOP_LEVEL
from orionlm.errors import UserError

Kind = Literal["e-mail", "ip", "phone", "iban", "card"]
PLACEHOLDERS: dict[Kind, str] = {
    "e-mail": "<EMAIL>",
    "ip": "<IP_ADDRESS>",
    "phone": "<PHONE>",
    "iban": "<IBAN>",
    "card": "<CARD>",
}
Span = tuple[int, int]
Finder = Callable[[str], Iterator[Span]]

MOST_LOCAL, MOST_DOMAIN = 64, 253  # characters (RFC 5321, 4.5.3.1)
MOST_PHONES = 10_000  # of a text that are looked up
LEAST_OCTET = 64  # behind the first: four smaller numbers are a version

# What a text must hold at least, for RE2.
_LIKELY: dict[str, str] = {
    "e-mail": r"[^\s@]@[^\s@.]+\.",
    "ip": r"\d\.\d{1,3}\.\d{1,3}\.\d|\b[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]",
    "phone": r"\+[1-9][\d ().-]{6}|\d{3}\)? ?[-. ]?\d{3}[-. ]\d{4}|"
    r"(?i)\b(?:tel|telephone|phone|fax|mobile|cell|call|whatsapp)[.:#)\]\"' ]{1,4}\(?\d",
    "iban": r"[A-Z]{2}\d\d[ -]?[A-Z0-9]{4}",
    "card": r"\d{13}|\d{4}[ -]\d{4}[ -]\d{4}|\d{4}[ -]\d{6}[ -]\d{4}",
}

_LOCAL = re.compile(r"[\w%+-](?:[\w.%+-]*[\w%+-])?")  # of the name's letters from the @ backwards
_DOMAIN = re.compile(r"(?:[^\W_](?:[^\W_]|-(?=[\w-]))*\.)+[^\W\d_][^\W_]{1,23}")
_GOES_ON = re.compile(r"[\w(\[@]|-\w")

_IPV4 = re.compile(r"(?<![\w.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\w]|\.\w)")
_IPV6 = re.compile(r"(?<![\w:.])[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{2,34}(?![\w:])")
_VERSION_BEFORE = re.compile(
    r"(?i)(?:\b(?:v|ver|rv|version|versions|release|released|rev|revision|build|section|chapter|figure|table|oid|step)"
    r"|[=<>~^]=?|[a-z)][/_-])[\s:=\"'.(]*$"
)
_JOINTS = frozenset("=<>~^/_-:\"'(.")
_VERSION_AFTER = re.compile(r"(?i)[-+_.]?(?:a|b|rc|alpha|beta|dev|post|pre|final|snapshot|tar|zip|whl)\d*\b|\.\*")
_ADDRESS_BEFORE = re.compile(
    r"(?i)(?:\b(?:ips?|ipv4|ip_?addr|addr|address|addresses|host|hosts|hostname|server|servers|ping|ssh|dns|nameserver|"
    r"gateway|router|client|peer|proxy|remote|listen|bind|inet|traceroute|telnet|nmap|subnet)\b[^\n]{0,12}|://|@)$"
)
_ADDRESS_AFTER = re.compile(r":\d{2,5}\b|/(?:[89]|[12]\d|3[012])\b")

_INTERNATIONAL = re.compile(r"(?<![\w+.])(\+[1-9](?:[ ().\-\u00a0]{0,2}\d){6,14})(?![\w]|[.-]\d)")
_NORTH_AMERICAN = re.compile(r"(?<![\w.+/-])((?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4})(?![\w]|[.-]\d)")
_LABELLED = re.compile(
    r"(?i)\b(?:tel|telephone|phone|fax|mobile|cell|call|whatsapp)\b[.:#)\]\"' ]{1,4}"
    r"((?:\(?\d)(?:[ ().\-/\u00a0]{0,2}\d){5,13})(?!\w)"
)

_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d\d")
_CARD = re.compile(
    # A digit first, and then what stood before it: a search looks for digits faster than it looks behind everything.
    r"\d(?<![\w.]\d)(?<!\d[ -]\d)"
    r"(?:\d{12,18}|\d{3}([ -])\d{4}\1\d{4}\1\d{4}|\d{3}([ -])\d{6}\2\d{4,5})(?![\w]|[.-]\d| \d{4})"
)

NEAR_CARD = 60  # characters on either side
_CARD_WORD = re.compile(
    r"(?i)\b(?:cards?|credit|debit|visa|master-?card|amex|american express|maestro|pan|cc)\b|card_?n"
)


class Settings(BaseModel):
    """`replace`: what is looked for, and what stands there instead. `regions`: countries (ISO codes) whose telephone
    numbers are known without their country's code. `allow`: domains and whole finds that stay."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    replace: dict[Kind, str] = Field(default_factory=lambda: dict(PLACEHOLDERS))
    regions: tuple[str, ...] = ("US",)
    allow: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()

    @field_validator("replace")
    @classmethod
    def _is_stable(cls, replace: dict[Kind, str]) -> dict[Kind, str]:
        """A second pass must find nothing in what the first one wrote."""
        for kind, text in replace.items():
            if any(True for find in (_emails, _addresses, _ibans, _cards) for _ in find(text)) or text.startswith("+"):
                raise ValueError(f"{kind} = {text!r} would be found again; use one like {PLACEHOLDERS[kind]}")
        return replace


def checker(settings: Settings) -> Check:
    finders: dict[str, Finder] = {"e-mail": _emails, "ip": _addresses, "iban": _ibans, "card": _cards}
    if "phone" in settings.replace:
        finders["phone"] = _phones(settings.regions)
    allowed = {name.lower() for name in settings.allow}
    replace: dict[str, str] = dict(settings.replace.items())
    patterns = {kind: _LIKELY[kind] for kind in replace}

    def check(documents: Sequence[Document]) -> list[Verdict]:
        texts = [document.text for document in documents]
        kinds = likely(texts, patterns)
        return [judge(text, own) if own else KEPT for text, own in zip(texts, kinds, strict=True)]

    def judge(text: str, kinds: Sequence[str]) -> Verdict:
        def find(text: str) -> list[Found]:
            found = [Found(start, end, kind) for kind in kinds for start, end in finders[kind](text)]
            return [one for one in apart(found) if not is_allowed(text[one.start : one.end].lower())]

        return masked(text, find, replace)

    def is_allowed(found: str) -> bool:
        return found in allowed or found.rpartition("@")[2] in allowed

    return check


def _emails(text: str) -> Iterator[Span]:
    at = text.find("@")
    while at >= 0:
        span = _email(text, at)
        if span:
            yield span
        at = text.find("@", at + 1)


def _email(text: str, at: int) -> Span | None:
    """The address around this @."""
    local = _LOCAL.match(text[max(0, at - MOST_LOCAL) : at][::-1])
    domain = _DOMAIN.match(text, at + 1, at + 1 + MOST_DOMAIN)
    if not local or not domain:
        return None
    start, labels = at - local.end(), domain.group().split(".")
    while len(labels) > 1 and not _is_top_level(labels[-1]):
        labels.pop()
    end = at + 1 + len(".".join(labels))
    # A user of a machine in a URL, a method of a matrix product, a word that goes on: no address of a person.
    if len(labels) < 2 or text[max(0, start - 2) : start] == "//" or _GOES_ON.match(text, end):
        return None
    name, host = text[start:at].lower(), ".".join(labels).lower()
    if name in NOBODY or name.startswith(("noreply", "no-reply", "no_reply", "donotreply", "do-not-reply")):
        return None
    if host in NOWHERE or host.endswith(tuple("." + name for name in NOWHERE)) or labels[-2].lower() == "example":
        return None
    return start, end


def _is_top_level(label: str) -> bool:
    label = label.lower()
    return label in TOP_LEVEL or label.startswith("xn--") or not label.isascii()


def _addresses(text: str) -> Iterator[Span]:
    for match in _IPV4.finditer(text):
        if _is_public(match.group()) and _is_address(text, match):
            yield match.span()
    for match in _IPV6.finditer(text):
        # Two groups are as likely a slice; three, or eight, are written by nobody else.
        if sum(map(bool, match.group().split(":"))) > 2 and _is_public(match.group()):
            yield match.span()


def _is_public(written: str) -> bool:
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast


def _is_address(text: str, match: re.Match[str]) -> bool:
    """Four numbers are as often a version: told by what stands around them, else by their size."""
    before, after = text[max(0, match.start() - 24) : match.start()], text[match.end() : match.end() + 8]
    last = before.rstrip()[-1:]
    if (last.isalnum() or last in _JOINTS) and _VERSION_BEFORE.search(before) or _VERSION_AFTER.match(after):
        return False
    if match.group() in RESOLVERS or max(map(int, match.group().split(".")[1:])) >= LEAST_OCTET:
        return True
    return bool(_ADDRESS_AFTER.match(after) or _ADDRESS_BEFORE.search(before))


def _phones(regions: Sequence[str]) -> Finder:
    try:
        import phonenumbers
    except ImportError:
        raise UserError("personal: phone needs the extra data: pip install 'orion-lm[data]'") from None
    for region in regions:
        if region not in phonenumbers.SUPPORTED_REGIONS:
            raise UserError(f"personal.regions: {region!r} is no country's code; give two letters, like 'US'")
    patterns = [_INTERNATIONAL, _LABELLED, *([_NORTH_AMERICAN] if "US" in regions or "CA" in regions else [])]

    def find(text: str) -> Iterator[Span]:
        spans = sorted({match.span(1) for pattern in patterns for match in pattern.finditer(text)})
        for number, (start, end) in enumerate(spans):
            # A list of so many numbers is one of telephone numbers, and looking each up would take minutes.
            if number >= MOST_PHONES or any(is_given_out(text[start:end], region) for region in regions or ("ZZ",)):
                yield start, end

    def is_given_out(written: str, region: str) -> bool:
        try:
            number = phonenumbers.parse(written, region)
        except phonenumbers.NumberParseException:
            return False
        return phonenumbers.is_valid_number(number)

    return find


def _ibans(text: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        size = IBAN_SIZES.get(match.group()[:2])
        if size is None:
            continue
        start, end = match.start(), match.start()
        kept: list[str] = []
        while end < len(text) and len(kept) < size:
            sign = text[end]
            if sign.isascii() and (sign.isdigit() or sign.isupper()):
                kept.append(sign)
            elif sign not in " -" or not text[end - 1].isalnum():
                break
            end += 1
        if len(kept) == size and not text[end : end + 1].isalnum() and _mod_97("".join(kept)) == 1:
            yield start, end


def _mod_97(written: str) -> int:
    """ISO 13616: the first four signs go behind the others, letters count from ten; the remainder must be 1."""
    return int("".join(str(int(sign, 36)) for sign in written[4:] + written[:4])) % 97


def _cards(text: str) -> Iterator[Span]:
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if not (_is_issued(digits) and len(set(digits)) > 1 and _luhn(digits)):
            continue
        near = (
            text[max(0, match.start() - NEAR_CARD) : match.start()] + " " + text[match.end() : match.end() + NEAR_CARD]
        )
        if len(digits) < len(match.group()) or _CARD_WORD.search(near):  # one number in ten fits Luhn: seeds do
            yield match.span()


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _is_issued(digits: str) -> bool:
    """Whether numbers of this length begin so: Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay."""
    first, size = int(digits[:6]), len(digits)
    if digits[0] == "4":
        return size in (13, 16, 19)
    if 510000 <= first <= 559999 or 222100 <= first <= 272099:
        return size == 16
    if digits[:2] in ("34", "37"):
        return size == 15
    if 300000 <= first <= 305999 or digits[:2] in ("36", "38", "39"):
        return size in (14, 16)
    return size in (16, 19) and (
        digits[:4] == "6011" or 644000 <= first <= 659999 or 352800 <= first <= 358999 or digits[:2] == "62"
    )
