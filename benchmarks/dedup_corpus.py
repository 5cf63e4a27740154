"""Documents with near copies among them, and which they are: the same ones for the same seed.

Words are made of syllables, short ones for the frequent, and drawn as words of English are (Zipf-Mandelbrot). Some
documents are copied one to three times, each copy changed in one of seven ways that leave it a copy for a reader;
others only look alike: pages of one template, texts that quote at length from another one.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FILES = 4
ROW_GROUP = 2_500
COPIED = 0.11  # of the documents, once to three times each
TEMPLATED = QUOTING = 0.06
TYPES = 60_000
FAMILY = "c"  # what the ids of documents with copies, and of these, begin with
FREQUENT = """
the of and to in a is that for it was on with as by at from be this are or an have not which but they his her had we
you all were their one has been will can would there more when if who so no out up said what its about into them than
some could time only other new then do first any my now such like our over even most me after also made many before
must through years where much your way down should because long each just state those people too mr how little good
world make very year still see own work men day get here between both life being under three never know same last
another while us off might great go come since against right came take used himself few house use during without again
place around however home small found thought went say part once general high upon school every don does got united
left number course war until always away something fact water less public put think almost hand enough far took head
yet government system set better told nothing night end why called didn eyes find going look asked later knew point
next city business give group toward young days let room president side social given present several order national
second possible rather face per among form important often things looked early white case john large become big need
four within felt along children saw best church ever least power development light thing seemed family interest want
members mind country area others done turned although open god service certain kind problem began different door thus
help sense means whole matter
"""
SYLLABLES = (
    "ba ne ti ro mu sel kan dor pi ta lo ver in con re an ment sti gra el ous tion ish ple dra fen gul hem jor wis"
)


@dataclass
class Family:
    """A document and its copies; one of them should stay."""

    members: list[str]
    kinds: list[str]  # of members[1:]


class Language:
    def __init__(self, seed: int):
        shuffled = random.Random(seed)
        made = FREQUENT.split()
        for length in (2, 3, 4):
            longer = ["".join(parts) for parts in itertools.product(SYLLABLES.split(), repeat=length)]
            made += shuffled.sample(longer, min(len(longer), TYPES - len(made)))
        self.words = made
        weights = 1 / (np.arange(TYPES) + 2.7) ** 1.05
        self.bounds = np.cumsum(weights / weights.sum())
        self.draw = np.random.default_rng(seed)

    def take(self, count: int) -> list[str]:
        return [self.words[i] for i in np.searchsorted(self.bounds, self.draw.random(count)).tolist()]


def sentences(words: list[str], draw: random.Random) -> list[str]:
    """Capitals, commas, full stops and paragraphs."""
    text, at = list(words), 0
    while at < len(text):
        end = min(len(text), at + draw.randint(8, 24))
        text[at] = text[at].capitalize()
        if end - at > 10:
            text[at + draw.randint(3, 7)] += ","
        text[end - 1] += "." if draw.random() < 0.8 or end == len(text) else ".\n\n"
        at = end
    return text


def joined(tokens: list[str]) -> str:
    return " ".join(tokens).replace("\n\n ", "\n\n").rstrip()


def changed(kind: str, tokens: list[str], language: Language, draw: random.Random) -> str:
    """A copy of the document, as a reader would still call it one."""
    tokens = list(tokens)
    if kind == "words changed":  # one in a hundred
        for place in draw.sample(range(len(tokens)), max(1, round(0.01 * len(tokens)))):
            tokens[place] = language.take(1)[0]
    elif kind == "tail cut":  # 4 to 8 of a hundred words
        tokens = tokens[: -round(len(tokens) * draw.uniform(0.04, 0.08))]
    elif kind == "head cut":
        tokens = tokens[round(len(tokens) * draw.uniform(0.04, 0.08)) :]
    elif kind == "sentence inserted":
        place = draw.randrange(len(tokens))
        tokens[place:place] = sentences(language.take(draw.randint(7, 12)), draw)
    text = joined(tokens)
    if kind == "re-spaced":
        text = "".join(draw.choice((" ", "  ", "\n", " \t", "\r\n")) if c == " " else c for c in text) + "\n \n"
    elif kind == "case":
        text = draw.choice((str.upper, str.lower, str.title))(text)
    elif kind == "re-punctuated":
        text = text.replace(",", "").replace(". ", draw.choice((" - ", "! ", "; ", " ... ")))
    return text


KINDS = ("words changed", "tail cut", "head cut", "sentence inserted", "re-spaced", "case", "re-punctuated")


def documents(count: int, seed: int, families: list[Family]) -> Iterator[tuple[str, str]]:
    """(id, text) in an order that says nothing; `families` are told apart as they are made."""
    draw, language = random.Random(seed), Language(seed)
    made: list[tuple[str, str]] = []

    def words() -> list[str]:
        return language.take(min(300, max(130, round(draw.gauss(200, 25)))))

    while len(made) < count * COPIED * 3:  # the original and two copies on average
        tokens = sentences(words(), draw)
        first = len(made)
        kinds = draw.sample(KINDS, min(draw.randint(1, 3), max(1, count - first - 1)))
        made.append((f"{FAMILY}{first:07d}", joined(tokens)))
        made += [(f"{FAMILY}{first + n:07d}", changed(kind, tokens, language, draw)) for n, kind in enumerate(kinds, 1)]
        families.append(Family([id for id, _ in made[first:]], list(kinds)))
    for number in range(int(count * TEMPLATED)):  # 50 pages of one template, a third to a half of each
        if number % 50 == 0:
            template = language.take(draw.randint(65, 100))
        own = language.take(draw.randint(100, 130))
        cut = draw.randrange(len(template))
        made.append((f"t{number:07d}", joined(sentences(template[:cut] + own + template[cut:], draw))))
    for number in range(0, int(count * QUOTING), 2):  # pairs that share 40% to 70%
        shared = language.take(200)[: draw.randint(80, 140)]
        for side in range(2):
            own = language.take(200 - len(shared))
            made.append((f"q{number + side:07d}", joined(sentences(own + shared if side else shared + own, draw))))
    while len(made) < count:
        made.append((f"s{len(made):07d}", joined(sentences(words(), draw))))
    draw.shuffle(made)
    yield from made


def write(folder: Path, count: int, seed: int) -> None:
    """`documents/*.parquet` (id, text), `families.json`, and the text's bytes in `size.json`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    families: list[Family] = []
    made = list(documents(count, seed, families))
    (folder / "documents").mkdir(parents=True)
    each = -(-len(made) // FILES)
    for number in range(FILES):
        ids, texts = zip(*made[number * each : (number + 1) * each], strict=True)
        table = pa.table({"id": ids, "text": pa.array(texts, pa.large_string())})
        pq.write_table(
            table, folder / "documents" / f"{number:05d}.parquet", compression="zstd", row_group_size=ROW_GROUP
        )
    (folder / "families.json").write_text(json.dumps([vars(family) for family in families]))
    (folder / "size.json").write_text(json.dumps(sum(len(text.encode()) for _, text in made)))
