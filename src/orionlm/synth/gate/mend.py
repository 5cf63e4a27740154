"""What of a set that fails can be saved, and does it hold up against real text that was not used to save it?

The real text is cut in two. By the first third rows are trimmed and dropped one by one, the farthest go, and the others
are drawn so that lengths, topics and words come out as in real text; a rule that learns from rows is learned from one
half of them and applied to the other. The other two thirds judge what is left. All of it says which of these steps a
set needs, and finds copies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from orionlm.synth.gate import declared, repetition, templates, topics
from orionlm.synth.gate.content import Tokens, Vocabulary, said, words
from orionlm.synth.gate.endings import trimmed
from orionlm.synth.gate.gate import GateSettings, Report, gate, sorted_out
from orionlm.synth.gate.lengths import lengths
from orionlm.synth.gate.sides import MOST, documents_of, split
from orionlm.synth.gate.verdict import CERTAIN, FEWEST, Measure, ranks_higher
from orionlm.synth.measures.two_sample import two_sample
from orionlm.synth.mending.density_ratio import reject
from orionlm.synth.mending.dsir import Importance, gumbel_top_k
from orionlm.synth.mending.quantiles import match
from orionlm.synth.mending.topics import best_of_each, missing_rows, rebalance, requests
from orionlm.synth.rows import Row

Array = np.ndarray
# Why a row goes by itself, by family: those of `ALWAYS` from every set, the others where their measures do not pass.
REASONS = {
    "leakage": "holds an evaluation item",
    "copying": "copies genuine text",
    "language": "another language",
    "residue": "markup residue",
    "repetition": "repeats itself",
    "collapse": "near copy of another row",
    "topics": "far from genuine text",
    "templates": "phrases that many rows share",
    "endings": "cut off",
    "format": "without the declared format",
}
ALWAYS = ("leakage", "copying", "residue", "language", "collapse", "repetition")
WHOLE = ("leakage", "copying")  # looked for in all of the real text
SMALLEST = 0.1  # of the rows: where less is left, it is another set
SPLITS = 4  # of the real texts that mend, which say how many rows are near enough
KEPT_BY_WORDS = 0.6  # of the rows, where they are drawn by importance of their words


@dataclass(frozen=True)
class Step:
    """What one step of mending did to how many rows."""

    name: str
    before: int
    after: int
    says: str = ""


@dataclass(frozen=True)
class Mended:
    """`rows` stay, `dropped` say why not (`error`); `wanted`: real texts (their places) to ask for rows about."""

    rows: list[Row]
    dropped: list[Row]
    before: Report
    after: Report
    steps: list[Step] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return self.after.to_json() | {
            "before": self.before.to_json(),
            "mending": [vars(step) for step in self.steps],
            "kept": len(self.rows),
            "dropped": len(self.dropped),
        }


class _Set:
    """Rows while they are mended, with what was done so far."""

    def __init__(self, rows: Sequence[Row], seed: int) -> None:
        self.rows = list(rows)
        self.dropped: list[Row] = []
        self.steps: list[Step] = []
        self.seed = seed

    def keep(self, name: str, stays: Array, says: str = "", why: str = "") -> None:
        gone = [row.judged("gate", why or name) for row, stay in zip(self.rows, stays, strict=True) if not stay]
        left = [row for row, stay in zip(self.rows, stays, strict=True) if stay]
        self.steps.append(Step(name, len(self.rows), len(left), says))
        self.dropped += gone
        self.rows = left

    def draw(self, name: str, kept: Sequence[int] | Array, says: str) -> None:
        stays = np.zeros(len(self.rows), bool)
        stays[np.asarray(kept, np.int64)] = True
        self.keep(name, stays, says, f"not drawn: {name}")

    @property
    def texts(self) -> list[str]:
        return [row.text for row in self.rows]


@threadpool_limits.wrap(limits=1, user_api="blas")
def mend(
    real: Sequence[str],
    rows: Sequence[Row],
    settings: GateSettings | None = None,
    *,
    seed: int = 0,
    held_out: Sequence[str] = (),
    suites: Sequence[Any] = (),
    groups: Sequence[str] = (),
) -> Mended:
    """Arguments as those of `gate`. What was admitted at once only loses what always goes, and all of the real text
    judges it again; where that does not admit it any more, it is mended as any other set."""
    settings = settings or GateSettings()
    usable, refused = sorted_out(rows)
    names = np.array(groups or [f"text {number}" for number in range(len(real))], object)
    everything = np.flatnonzero([bool(text.strip()) for text in real])
    first, unseen = (everything[part] for part in split(names[everything], np.random.default_rng([seed, 20]), 3))

    def judge(against: Array, judged: Sequence[Row], describe: bool = False) -> Report:
        texts, owners = [real[n] for n in against], names[against].tolist()
        return gate(
            texts, judged, settings, seed=seed, held_out=held_out, suites=suites, groups=owners,
            describe=describe, judges=len(unseen),
        )  # fmt: skip

    whole = before = judge(everything, usable, describe=True)
    if before.verdict == "admitted":
        left = _Set(usable, seed)
        if _drop(left, before, ALWAYS):
            whole = judge(everything, left.rows, describe=True)
        if whole.verdict == "admitted":
            return Mended(left.rows, refused + left.dropped, before, whole, left.steps)
    if min(len(everything), len(usable)) < FEWEST:
        return Mended(usable, refused, before, before)
    left = _Set(usable, seed)
    rule = [real[n] for n in first]
    found = judge(first, left.rows)
    if "endings" in _unsure(found):
        _trim(left, found)
        found = judge(first, left.rows)
    # A copy of any real text is one, also of those that judge in the end.
    found = replace(found, bad={**found.bad, **{name: before.bad[name] for name in WHOLE}})
    _drop(left, found, (*ALWAYS, *_unsure(whole)))
    wanted: list[int] = []
    if len(left.rows) >= FEWEST:
        found = judge(first, left.rows)
        # A third of the real text is less sure of everything: what all of it passed is not to be mended.
        passed = {one.name for one in whole.measures if one.verdict == "passes"}
        if "far from real text" in _failing(whole):  # a third of the real text is easier to be near to
            nearest = _near_enough(rule, names[first], left, len(unseen))
            said = f"{len(nearest)} of {len(left.rows)} rows are near enough"
            left.draw("the farthest from real text", nearest, said)
            found = judge(first, left.rows)
        if "said again" in _failing(found) - passed and len(left.rows) >= FEWEST:
            plainest = _plain_enough(rule, left, settings)
            left.draw("repeats itself most", plainest, f"{len(plainest)} of {len(left.rows)} rows repeat no more")
            found = judge(first, left.rows)
        if "mixture of topics" in _failing(found) - passed and len(left.rows) >= FEWEST:
            wanted = _topics(left, rule, real)
            _words(left, rule)
            found = judge(first, left.rows)
        if "lengths" in _unsure(found) and "lengths" in _unsure(whole) and len(left.rows) >= FEWEST:
            kept = match(lengths(left.texts), lengths(rule), seed=seed)
            left.draw("lengths as in real text", kept.rows, kept.says)
            found = judge(first, left.rows)
        if _drop(left, found, ("templates", "repetition")):  # what was rare before so much went
            found = judge(first, left.rows)
        # The last resort, for it takes most: what fails and no rule above has a name for.
        failing = {one.fault for one in found.measures if one.verdict == "fails"}
        if failing & {topics.FAULT, declared.FAULT, templates.FAULT} and len(left.rows) >= FEWEST:
            told = two_sample(rule, left.texts, names[first].tolist(), [row.seeds for row in left.rows], seed=seed)
            kept = reject(told, seed)
            if len(kept.rows) >= FEWEST:
                left.draw("rejection by density ratio", kept.rows, kept.says)
                _drop(left, judge(first, left.rows), ("templates", "repetition"))
    after = judge(unseen, left.rows, describe=True)
    if len(left.rows) < max(FEWEST, SMALLEST * len(usable)) and after.verdict != "rejected":
        note = f"{len(left.rows):,} of {len(usable):,} rows are left, too few to be this set"
        after = replace(after, verdict=whole.verdict, faults=whole.faults, note=note)
    return Mended(left.rows, refused + left.dropped, before, after, left.steps, wanted)


def _unsure(report: Report) -> list[str]:
    """The families with a measure that does not pass."""
    faults = {one.fault for one in report.measures if one.verdict in ("fails", "cannot tell")}
    return [name for name, fault in report.families.items() if fault in faults]


def _failing(report: Report) -> set[str]:
    return {one.name for one in report.measures if one.verdict in ("fails", "cannot tell")}


def _drop(left: _Set, found: Report, families: Sequence[str]) -> bool:
    """The worst rows of each family, until as large a share is left as of real texts: more would be another set. What
    leaks goes altogether. Did any go?"""
    size = len(left.rows)
    bad = dict(found.bad)
    rng = np.random.default_rng([left.seed, 22])
    for name in REASONS:
        if name not in families or name not in bad or not len(bad[name]):
            continue
        usual = 0.0 if name == "leakage" else min(0.9, found.usual.get(name, 0.0))
        count = int((bad[name] > 0).sum())
        excess = math.ceil((count - usual * len(left.rows)) / (1 - usual))
        worst = np.lexsort((rng.random(len(left.rows)), -bad[name]))[
            : max(0, min(count, excess), int((bad[name] >= CERTAIN).sum()))
        ]
        if not len(worst):
            continue
        stays = np.ones(len(left.rows), bool)
        stays[worst] = False
        left.keep(REASONS[name], stays)
        bad = {other: how[stays] for other, how in bad.items()}
    return len(left.rows) < size


def _trim(left: _Set, found: Report) -> None:
    """Texts that were cut off lose their last, unfinished sentence or line; what is cut for good goes later."""
    changed = 0
    for number in np.flatnonzero(found.bad["endings"]):
        text = trimmed(left.rows[number].text)
        if text and text != left.rows[number].text:
            left.rows[number] = replace(left.rows[number], text=text)
            changed += 1
    left.steps.append(
        Step("trimmed to the last whole sentence or line", len(left.rows), len(left.rows), f"{changed} rows")
    )


def _near_enough(rule: Sequence[str], names: Array, left: _Set, judges: int) -> Array:
    """The rows without the farthest of each topic (the nearest of all would be those that say what everybody says): as
    many as `judges` real texts should find near enough.

    Each half of the rule's documents says how far the rows are that the other half chose, for what is near to one text
    is less near to the next. Rows look farther among more real texts, which are nearer to one another: by so much a
    doubling as from a half to the whole. That is a forecast, and the whole interval of a half is left to spare.
    """
    rng = np.random.default_rng([left.seed, 23])
    some = np.sort(rng.permutation(len(rule))[:MOST])  # as those who judge compare
    names, seeds, owners = names[some], [row.seeds for row in left.rows], documents_of(left.rows)
    real, rows = [words(rule[n]) for n in some], [words(text) for text in left.texts]
    whole = Vocabulary(real, rows)
    labels, own_labels = topics.topics(whole, left.seed)
    shares = np.bincount(own_labels, minlength=topics.TOPICS) / len(own_labels)
    near, own = topics.nearest(whole, names, seeds)
    told = []  # by both halves of each split: an order of rows, and by the other half how near rows and real texts are
    for _ in range(SPLITS):
        halves = [half for half in split(names, rng, 2) if len(half) > 1]
        found = [topics.nearest(Vocabulary([real[n] for n in half], rows), names[half], seeds) for half in halves]
        orders = [best_of_each(rows_near, labels, shares) for rows_near, _ in found]
        told += [(*each, names[half]) for *each, half in zip(orders, found[::-1], halves[::-1], strict=True)]
    if not told:
        return np.arange(len(rows))

    def far(size: int) -> tuple[float, float]:
        """The mean measure of so many rows, and the upper end of its interval."""
        each = [
            _farness(rows_near[order[:size]], real_near, (owners[order[:size]], half))
            for order, (rows_near, real_near), half in told
        ]
        return float(np.mean([one.value for one in each])), float(np.mean([one.high for one in each]))

    doubling = _farness(near, own, (owners, names)).value - far(len(rows))[0]
    farther = doubling * math.log2(max(1, min(MOST, judges) / (len(some) / 2)))
    size = _most(len(rows), lambda size: far(size)[1] + farther <= topics.FAR_MARGIN)
    return np.sort(best_of_each(near, labels, shares)[:size])


def _farness(near: Array, own: Array, owners: tuple[Array, Array]) -> Measure:
    return ranks_higher("", "", -near, -own, topics.FAR_MARGIN, owners=owners)


def _plain_enough(rule: Sequence[str], left: _Set, settings: GateSettings) -> Array:
    """The rows without those that say most of what they say again: as many as leave a third of the margin."""
    asked = declared.formats(settings.format, left.rows)
    texts = [said(text, format) for text, format in zip(left.texts, asked, strict=True)]
    real, rows = (repetition.said_again(Tokens(each)) for each in (rule, texts))
    order = np.argsort(rows, kind="stable")

    def plain(size: int) -> bool:
        measure = ranks_higher("", "", rows[order[:size]], real, repetition.RANK_MARGIN)
        return measure.value <= repetition.RANK_MARGIN / 3

    return np.sort(order[: _most(len(rows), plain)])


def _most(rows: int, fits: Callable[[int], bool]) -> int:
    """The largest number of rows that fits, in fiftieths; where none does, as few as may be this set."""
    least = max(1, round(SMALLEST * rows))
    return next((size for size in range(rows, least, -max(1, rows // 50)) if fits(size)), least)


def _topics(left: _Set, rule: Sequence[str], real: Sequence[str]) -> list[int]:
    """Drawn to the topics of the real text; which real texts should be asked about where rows are short."""
    vocabulary = Vocabulary([words(text) for text in rule], [words(text) for text in left.texts])
    labels, own = topics.topics(vocabulary, left.seed)
    shares = np.bincount(own) / len(own)
    place = {text: number for number, text in reversed(list(enumerate(real)))}
    short = missing_rows(labels, shares, len(left.rows))
    wanted = [place[rule[text]] for _, text in requests(short, own, left.seed)]
    kept = rebalance(labels, shares, seed=left.seed)
    left.draw("topics as in real text", kept.rows, kept.says)
    return wanted


def _words(left: _Set, rule: Sequence[str]) -> None:
    """DSIR, each half of the rows by what the other half says of rows; a mean a word, whatever the length."""
    order = np.random.default_rng([left.seed, 21]).permutation(len(left.rows))
    texts = left.texts
    weights = np.zeros(len(texts))
    for learned, applied in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        if len(learned) and len(applied):
            rate = Importance.fit(rule, [texts[n] for n in learned])
            said = [texts[n] for n in applied]
            weights[applied] = rate.log_weights(said) / np.maximum(1, [len(text.split()) for text in said])
    spread = weights.std()
    keep = round(KEPT_BY_WORDS * len(texts))
    kept = gumbel_top_k(2 * weights / spread if spread > 0 else weights, keep, left.seed)
    left.draw("importance of words", kept, f"{len(kept)} of {len(texts)} rows drawn by importance of their words")
