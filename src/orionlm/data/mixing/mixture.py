"""How much of each domain is trained on, how often, and when? Stage `mixture`: weights, caps, a late anneal, licences.

A token read again is worth less: D' = U[1 + R*(1 − e^{−R/R*})] effective tokens for U unique ones read 1 + R times
(Muennighoff et al., 2305.16264, eq. 5), so the next one is worth dD'/dD = e^{−R/R*} of a fresh one. The default cap of
a domain is where that falls to `least_worth`: 1 + R*·ln(1/least_worth) epochs, 11.7 at one half with their R* = 15.4.
The law is of one text read evenly; here it is applied to each domain by itself.

Weights hold for a run of `tokens`: where one would lead past its domain's cap, the domain gets its cap, and what is
over goes to the others in proportion to their weights. Without `tokens` the mixture goes as far as the weights lead
without touching a cap. Shorter runs have the same proportions, longer ones are refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, write_json
from orionlm.data.documents import SYNTHETIC
from orionlm.data.licences.policy import UNKNOWN, Policy, check
from orionlm.data.mixing.apportion import LARGEST_BLOCK, poured, whole_places
from orionlm.errors import UserError
from orionlm.plan.repetition import effective_tokens
from orionlm.recipe.estimate import Derived, Estimate
from orionlm.settings import nearest

if TYPE_CHECKING:
    from orionlm.recipe.context import Context

R_STAR = 15.3878
PHASES = ("main", "anneal")
Array = np.ndarray


class Anneal(BaseModel):
    """`share` of a run, its end, that is read by other `weights`. A run's anneal lies within the decay of its learning
    rate, and begins with it where the two shares are equal (Hägele et al. 2405.18392: a fifth)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    share: float = Field(default=0.2, gt=0, lt=1)
    weights: dict[str, float]


class Settings(BaseModel):
    """`weights`: domain → share of what is read, by size where none are given; a domain left out is not read.
    `max_epochs`: domain → cap, in place of the one that follows from `least_worth`. `tokens`: of the longest run.
    `real_share`: how much of what is read has to be text that people wrote, at least."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    weights: dict[str, float] = {}
    max_epochs: dict[str, float] = {}
    least_worth: float = Field(default=0.5, gt=0, lt=1)
    anneal: Anneal | None = None
    licences: Policy = Policy()
    tokens: int | None = Field(default=None, gt=0)
    real_share: float = Field(default=0.5, ge=0, le=1)


@dataclass(frozen=True)
class Mixture:
    """What the loader reads: places of each domain in a block of sequences, of the main phase and of the anneal (empty:
    there is none), the anneal's share of a run, and the tokens of the longest run. `unique`: each domain's tokens."""

    domains: tuple[str, ...]
    main: tuple[int, ...]
    anneal: tuple[int, ...]
    anneal_share: float
    tokens: int
    unique: tuple[int, ...]

    @classmethod
    def of(cls, page: Mapping[str, Any]) -> Mixture:
        """From what `mixture.json` holds."""
        names = tuple(page["domains"])
        main, *late = [tuple(phase["block"].get(name, 0) for name in names) for phase in page["phases"]]
        unique = tuple(page["domains"][name]["unique_tokens"] for name in names)
        share = page["phases"][1]["share"] if late else 0.0
        return cls(names, main, late[0] if late else (), share, page["tokens"], unique)

    @property
    def shares(self) -> Array:
        """Each domain's share of a whole run."""
        share = (1 - self.anneal_share) * np.array(self.main) / sum(self.main)
        if self.anneal:
            share += self.anneal_share * np.array(self.anneal) / sum(self.anneal)
        return share

    @property
    def fresh(self) -> tuple[int, str]:
        """The longest run that reads nothing twice, in tokens, and the domain that ends it."""
        most = np.array(self.unique) / np.maximum(self.shares, 1e-300)
        return int(most.min()), self.domains[int(most.argmin())]

    def anneal_start(self, steps: int) -> int:
        """The step from which a run of `steps` reads by the anneal's weights."""
        return steps - max(1, round(self.anneal_share * steps)) if self.anneal else steps


def of_tokens(mixture: Artifact, tokens: Artifact) -> Mixture:
    """The mixture of these tokens. UserError where it was made from others."""
    if mixture.manifest["inputs"].get("tokens") != tokens.digest:
        raise UserError(
            f"{mixture.path}: this mixture was made from other tokens than {tokens.path}; give both the same"
        )
    return Mixture.of(mixture.json("mixture.json"))


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Writes `mixture.json`."""
    domains = inputs["tokens"].json("tokens.json")["train"]["domains"]
    page = mix(settings, domains)
    write_json(out / "mixture.json", page)
    for line in page["says"]:
        context.progress.say(f"{context.stage}: {line}")


def mix(settings: Settings, available: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The mixture of these domains, as `tokens.json` accounts for them: every number, and `says`, lines for people."""
    says: list[str] = []
    sizes = {name: int(domain["tokens"]) for name, domain in available.items() if domain["tokens"]}
    if not sizes:
        raise UserError("tokens: there is no text to train on; give the corpus some")
    by_size = {name: size / sum(sizes.values()) for name, size in sizes.items()}
    phases = [_weights("weights", settings.weights or by_size, sizes, says)]
    lengths = [1.0]
    if settings.anneal:
        phases.append(_weights("anneal.weights", settings.anneal.weights, sizes, says))
        lengths = [1 - settings.anneal.share, settings.anneal.share]
    names = sorted({name for weights in phases for name in weights})
    if absent := sorted(set(sizes) - set(names)):
        says.append(f"not read, for they have no weight: {', '.join(absent)}")
    check(settings.licences, {name: available[name] for name in names})
    says += _unknown({name: available[name] for name in names})
    unique, caps = np.array([sizes[name] for name in names]), _caps(settings, names, sizes)
    room = caps * unique
    asked = [np.array([weights.get(name, 0.0) for name in names]) for weights in phases]
    whole = np.sum([length * weights for length, weights in zip(lengths, asked, strict=True)], axis=0)
    tokens = settings.tokens or max(1, int(np.min(room / np.maximum(whole, 1e-300))))
    if tokens > room.sum() * (1 + 1e-9):
        raise UserError(
            f"tokens = {tokens:,}: this text may be read {int(room.sum()):,} tokens long at most, every domain to its "
            f"cap; lower tokens, raise max_epochs, lower least_worth = {settings.least_worth:g}, or add text"
        )
    amounts = [np.zeros(0)] * len(asked)
    left = room
    for k in reversed(range(len(asked))):  # the anneal first: it is short, and what the best text is kept for
        amounts[k] = poured(asked[k], asked[0], left, lengths[k] * tokens)
        left = np.maximum(left - amounts[k], 0)
    given = [amount / amount.sum() for amount in amounts]
    blocks = [whole_places(weights, left <= 1e-9 * room) for weights in given]
    places = np.sum(blocks, axis=0)
    says += [
        f"{name}: left out: {whole[k]:.1e} of a run is less than one sequence in a block of {LARGEST_BLOCK:,}"
        for k, name in enumerate(names)
        if not places[k]
    ]
    kept = np.flatnonzero(places)
    if settings.tokens is None:  # the blocks' own proportions decide how far the caps let it go
        shares = np.sum([length * block / block.sum() for length, block in zip(lengths, blocks, strict=True)], axis=0)
        tokens = max(1, int(np.min(room[kept] / shares[kept])))
    page = _page([names[k] for k in kept], unique[kept], caps[kept], [b[kept] for b in blocks], lengths, tokens)
    for name in page["domains"]:
        account = available[name]
        licences = {text: {c: n for c, n in of.items() if c != "sources"} for text, of in account["licences"].items()}
        page["domains"][name] |= {c: account[c] for c in ("documents", "bytes")} | {"licences": licences}
    default = default_cap(settings.least_worth)
    real = _real_share(page, available)
    if real < settings.real_share - 1e-9:
        raise UserError(
            f"real_share = {settings.real_share:g}: by these weights {real:.1%} of what is read was written by people; "
            "lower the weights of the synthetic domains, or add real text"
        )
    page |= {
        "real_share": real,
        "planned": settings.tokens is not None,
        "r_star": R_STAR,
        "rule": f"a domain is read until its next token is worth {settings.least_worth:g} of a fresh one, "
        f"{default:.3g} epochs at R* = {R_STAR:g} (2305.16264, eq. 5), unless max_epochs says otherwise",
        "caps": [
            row
            for phase, before, after in zip(PHASES, asked, given, strict=False)
            for row in _moved(names, phase, before, after, caps)
        ],
        "policy": settings.licences.model_dump(mode="json"),
    }
    return page | {"says": _says(page) + says}


def _real_share(page: Mapping[str, Any], available: Mapping[str, Mapping[str, Any]]) -> float:
    """The share of what is read that people wrote, a domain's sources taken by their tokens."""
    share = 0.0
    for name, domain in page["domains"].items():
        licences = available[name]["licences"].values()
        sources = [row for licence in licences for row in licence.get("sources", {}).items()]
        written = sum(account["tokens"] for source, account in sources if source.startswith(SYNTHETIC))
        share += domain["weight"] * (1 - written / domain["unique_tokens"])
    return share


def default_cap(least_worth: float) -> float:
    """The epochs after which a token is worth `least_worth` of a fresh one: 1 + R*·ln(1/least_worth)."""
    return 1 + R_STAR * math.log(1 / least_worth)


def _caps(settings: Settings, names: list[str], sizes: Mapping[str, int]) -> Array:
    for name, cap in settings.max_epochs.items():
        _check_domain("max_epochs", name, sizes)
        if not (cap > 0 and math.isfinite(cap)):
            raise UserError(f"max_epochs.{name} = {cap}: give a number above 0")
    return np.array([settings.max_epochs.get(name, default_cap(settings.least_worth)) for name in names])


def _check_domain(field: str, name: str, sizes: Mapping[str, int]) -> None:
    if name not in sizes:
        raise UserError(f"{field}: no text to train on in domain {name!r}; {nearest(name, sizes)}")


def _weights(field: str, given: Mapping[str, float], sizes: Mapping[str, int], says: list[str]) -> dict[str, float]:
    """The weights above 0, which then sum to 1; that they did not goes to `says`."""
    for name, weight in given.items():
        _check_domain(field, name, sizes)
        if not (weight >= 0 and math.isfinite(weight)):
            raise UserError(f"{field}.{name} = {weight}: give a share of 0 or more")
    total = sum(given.values())
    if not total:
        first = json.dumps(next(iter(sizes)), ensure_ascii=False)
        raise UserError(f"{field}: no domain has any weight; give shares such as {{ {first} = 1.0 }}")
    if not math.isfinite(total):
        raise UserError(f"{field}: they sum to more than a number can hold; give shares that sum to 1")
    if abs(total - 1) > 1e-6:
        says.append(f"{field} sum to {total:g}: divided by that")
    return {name: weight / total for name, weight in given.items() if weight}


def _unknown(domains: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How much of this text nobody knows the licence of."""
    held = sum(domain["bytes"] for domain in domains.values())
    unknown = sum(domain["licences"].get(UNKNOWN, {}).get("bytes", 0) for domain in domains.values())
    return [f"{unknown / held:.1%} of the bytes are of unknown licence"] if unknown else []


def _moved(names: list[str], phase: str, asked: Array, given: Array, caps: Array) -> list[dict[str, Any]]:
    """Which caps bind in a phase, and which domains have the weight instead."""
    more = {name: float(g - a) for name, a, g in zip(names, asked, given, strict=True) if g - a > 1e-9}
    return [
        {"phase": phase, "domain": name, "max_epochs": float(cap), "asked": float(a), "given": float(g), "to": more}
        for name, a, g, cap in zip(names, asked, given, caps, strict=True)
        if a - g > 1e-9
    ]


def _page(
    names: list[str], unique: Array, caps: Array, blocks: list[Array], lengths: list[float], tokens: int
) -> dict[str, Any]:
    """Domains and phases in numbers, as the blocks have them."""
    read = [length * tokens * block / block.sum() for length, block in zip(lengths, blocks, strict=True)]
    so_far, phases = np.zeros(len(names)), []
    for phase, block, length, amount in zip(PHASES, blocks, lengths, read, strict=False):
        before, so_far = so_far, so_far + amount
        gained = _worth(so_far, unique) - _worth(before, unique)
        rows = {
            name: {
                "weight": float(block[k] / block.sum()),
                "tokens": float(amount[k]),
                "epochs": float(amount[k] / unique[k]),
                "effective_tokens": float(gained[k]),
            }
            for k, name in enumerate(names)
            if block[k]
        }
        places = {name: int(block[k]) for k, name in enumerate(names) if block[k]}
        phases.append(
            {
                "name": phase, "share": length, "tokens": length * tokens,
                "effective_tokens": float(gained.sum()), "block": places, "domains": rows,
            }
        )  # fmt: skip
    worth = _worth(so_far, unique)
    epochs = so_far / unique
    return {
        "tokens": tokens,
        "unique_tokens": float(np.minimum(so_far, unique).sum()),
        "effective_tokens": float(worth.sum()),
        "phases": phases,
        "domains": {
            name: {
                "unique_tokens": int(unique[k]),
                "weight": float(so_far[k] / so_far.sum()),
                "tokens": float(so_far[k]),
                "epochs": float(epochs[k]),
                "max_epochs": float(caps[k]),
                "effective_tokens": float(worth[k]),
                "worth_of_the_last": float(np.exp(-max(0.0, epochs[k] - 1) / R_STAR)),
            }
            for k, name in enumerate(names)
        },
    }


def _worth(tokens: Array, unique: Array) -> Array:
    """Effective tokens of each domain, 0 where nothing is read."""
    return np.where(tokens > 0, effective_tokens(np.maximum(tokens, 1e-9), unique, R_STAR), 0.0)


def _says(page: Mapping[str, Any]) -> list[str]:
    def shown(rows: Mapping[str, Mapping[str, float]]) -> str:
        return ", ".join(f"{name} {row['weight']:.1%} ({row['epochs']:.2g} epochs)" for name, row in rows.items())

    first, *late = page["phases"]
    lines = [
        f"up to {page['tokens']:,} tokens, worth {page['effective_tokens']:,.0f} fresh ones: {shown(first['domains'])}"
        + "".join(f"; over the last {phase['share']:.0%}: {shown(phase['domains'])}" for phase in late)
    ]
    for cap in page["caps"]:
        to = ", ".join(f"{name} +{more:.1%}" for name, more in cap["to"].items())
        lines.append(
            f"{cap['phase']}: {cap['domain']} is capped at {cap['max_epochs']:.3g} epochs: {cap['given']:.1%} of the "
            f"weight, not {cap['asked']:.1%}; the rest goes to {to}"
        )
    return lines


def derive(settings: Settings, known: dict[str, dict[str, Any]], context: Context) -> Estimate:
    """The cap that the law of repetition gives; what is read, only the text can say."""
    formula = "1 + R* · ln(1 / least_worth), 2305.16264 eq. 5"
    return Estimate([Derived("max_epochs by default", default_cap(settings.least_worth), "epochs", formula)])
