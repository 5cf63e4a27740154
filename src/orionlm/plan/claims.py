"""What would have to be true for a public claim about a model's compute, cost, loss or text, and how likely is it?

A claim file is TOML, one `[[claim]]` table a claim. `kind` says which quantities it may state:

- `compute` (`ComputeClaim`): chips, time, FLOPs, and the utilisation they ask for;
- `cost` (`CostClaim`): device hours, rent, and what they come to;
- `loss` (`LossClaim`): runs compared by what the scaling laws give them;
- `text` (`TextClaim`): the year text runs out, or whether it suffices for a run.

The probability is that of the claim's statement under the priors in those files, where it may replace each prior. The
verdict is "plausible" from 50% on, "implausible" below 5%, else "cannot tell".
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from orionlm.errors import UserError
from orionlm.plan.claim_compute import ComputeClaim, CostClaim
from orionlm.plan.claim_form import IMPLAUSIBLE, PLAUSIBLE, Claim, Finding, Verdict, World, statement
from orionlm.plan.claim_loss import LossClaim, TextClaim
from orionlm.settings import Document, nearest, parse_toml, read_toml, validate

KINDS: dict[str, type[Claim]] = {
    "compute": ComputeClaim,
    "cost": CostClaim,
    "loss": LossClaim,
    "text": TextClaim,
}


@dataclass(frozen=True)
class Answer:
    """What a claim needs, how likely it is (None: nothing that can be judged is stated), and why."""

    claim: Claim
    needs: dict
    probability: float | None
    verdict: Verdict
    words: str
    warnings: list[str]

    def to_json(self) -> dict:
        """Plain values; a number too large to compare is None."""
        return {
            "name": self.claim.name,
            "kind": self.claim.kind,
            "says": self.claim.says,
            "needs": _finite(self.needs),
            "probability": self.probability,
            "verdict": self.verdict,
            "words": self.words,
            "warnings": self.warnings,
            "inputs": self.claim.to_json(),
        }


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return value if not isinstance(value, float) or np.isfinite(value) else None


def answer(claim: Claim, world: World) -> Answer:
    """Judges one claim. The statement is the kind's own, or `holds`; with `denies`, its contrary."""
    finding: Finding = claim.find(world)
    true = statement(claim, finding.values) if claim.holds and finding.values else finding.true
    warnings = list(finding.warnings)
    if true is None:
        warnings += ["no verdict: what is stated cannot be judged; say what it must hold with `holds`"] * bool(
            finding.values
        )
        return Answer(claim, finding.needs, None, "cannot tell", finding.words, warnings)
    probability = float(true[1:].mean())
    if claim.denies:
        probability = 1 - probability
    verdict: Verdict = "cannot tell"
    if finding.refused:
        warnings.append(f"no verdict: {finding.refused}")
    elif probability >= PLAUSIBLE:
        verdict = "plausible"
    elif probability < IMPLAUSIBLE:
        verdict = "implausible"
    return Answer(claim, finding.needs, probability, verdict, finding.words, warnings)


def parse_claims(document: Document) -> list[Claim]:
    """The claims of a file. The first mistake raises UserError with its line."""
    unknown = set(document.values) - {"claim"}
    if unknown:
        name = min(unknown)
        raise document.error((name,), "unknown key: a claim file holds [[claim]] tables alone")
    tables = document.values.get("claim")
    if not isinstance(tables, list) or not tables:
        raise document.error((), "holds no claim: write a [[claim]] table with name and kind")
    claims = []
    for i, table in enumerate(tables):
        at = ("claim", i)
        if not isinstance(table, dict):
            raise document.error(at, "is no table: write [[claim]] and its keys below")
        kind = table.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            problem = "missing: it has no default, set it" if kind is None else f"{kind!r} is no kind of claim"
            raise document.error((*at, "kind"), f"{problem}, {nearest(str(kind or ''), KINDS)}")
        claims.append(validate(KINDS[kind], table, document, at))
    return claims


def read_claims(path: Path) -> list[Claim]:
    """The claims of a TOML file."""
    return parse_claims(read_toml(path))


def examples() -> dict[str, str]:
    """The claims that ship with Orion: the name of each file, without its ending, and its text."""
    folder = resources.files("orionlm.plan") / "examples" / "claims"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return {file.name.removesuffix(".toml"): file.read_text(encoding="utf-8") for file in files}


def example(name: str) -> list[Claim]:
    """The claims of one example."""
    known = examples()
    if name not in known:
        raise UserError(f"claim = {name!r}: no such file and no such example, {nearest(name, known)}")
    return parse_claims(parse_toml(known[name], f"{name}.toml"))
