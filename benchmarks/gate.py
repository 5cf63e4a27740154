"""Does the gate tell good sets of rows from bad ones? Real text, a faithful rephrase, and ten planted faults.

python benchmarks/gate.py --json [--draws 100] [--dose-draws 20] [--rows 400] [--corpus NAME …] prints one object. The
real text is what installed packages hold: docstrings, comments, sources. In each draw 2·rows texts are drawn; one half
is the real text, the other half the rows, which are held-out real text with a fault planted in a share of them, the
dose. A dose of 0 must be admitted; the full dose must be rejected, with the planted fault named first.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from importlib.metadata import distribution, version
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from orionlm.synth.excerpts import excerpts
from orionlm.synth.gate.gate import GateSettings, Report, gate
from orionlm.synth.rows import Row
from orionlm.tasks.task import Item, Suite, Task

Random = np.random.Generator
Texts = list[str]
FAULTS = (
    "topic drift", "length shift", "templates", "truncation", "copying of seeds", "mode collapse", "markup residue",
    "wrong language", "evaluation leakage", "repetition",
)  # fmt: skip
DOSES = (0.05, 0.1, 0.2, 0.5, 1.0)
LENGTHS = 200, 4000  # characters of a text
MOST_FILES = 400  # of a package, evenly over it
PIECES = 4  # of a file
# Corpus: packages and what is read of them, then the same of what another domain would be.
CORPORA: dict[str, tuple[tuple[str, ...], str, tuple[str, ...], str]] = {
    "scientific docstrings": (("scipy", "numpy"), "docstrings", ("transformers", "networkx", "ray"), "docstrings"),
    "symbolic docstrings": (("sympy",), "docstrings", ("aiohttp", "pandas", "transformers"), "docstrings"),
    "data-frame docstrings": (("pandas",), "docstrings", ("sympy",), "docstrings"),
    "model docstrings": (("transformers",), "docstrings", ("sympy", "scipy"), "docstrings"),
    "comments and documents": (("ray", "torch"), "documents", ("scipy", "sympy"), "docstrings"),
    "scientific code": (("scipy", "sympy"), "functions", ("transformers", "aiohttp"), "functions"),
    "network code": (("aiohttp", "ray"), "functions", ("sympy",), "functions"),
    "pieces of sources": (("scipy", "sympy", "torch"), "pieces", ("transformers", "aiohttp"), "pieces"),
}


def files(package: str, ending: str) -> list[Path]:
    found = [Path(str(path.locate())) for path in distribution(package).files or [] if str(path).endswith(ending)]
    found = sorted(path for path in found if path.is_file() and "/tests/" not in str(path))
    return found[:: -(-len(found) // MOST_FILES)] if found else []


def docstrings(path: Path) -> Texts:
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return []
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [text for node in ast.walk(tree) if isinstance(node, kinds) and (text := ast.get_docstring(node))]


def functions(path: Path) -> Texts:
    """Whole functions and methods, without their docstrings' bulk: programs."""
    try:
        source = path.read_text("utf-8")
        tree = ast.parse(source)
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return []
    lines = source.splitlines()
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    found = ["\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in nodes]
    return [re.sub(r"^" + re.match(r"\s*", text).group(), "", text, flags=re.M) for text in found]  # type: ignore[union-attr]


def documents(path: Path) -> Texts:
    """Runs of comment lines: prose about programs."""
    try:
        source = path.read_text("utf-8")
    except UnicodeDecodeError:
        return []
    return [
        re.sub(r"^[ \t]*# ?", "", run, flags=re.M).strip() for run in re.findall(r"(?:^[ \t]*#.*\n){4,}", source, re.M)
    ]


def pieces(path: Path) -> Texts:
    """Of a whole file, as the stage `align` cuts documents for rows that are pieces: a few, which are alike."""
    try:
        source = path.read_text("utf-8")
    except UnicodeDecodeError:
        return []
    return excerpts([source], [400, 800, 1600], len(source))[1 : 1 + PIECES]  # the first is mostly a licence


@lru_cache(maxsize=32)
def corpus(packages: tuple[str, ...], kind: str) -> tuple[tuple[str, str], ...]:
    """(Document, text). What no document is cut for is its own."""
    read = {"docstrings": docstrings, "functions": functions, "documents": documents, "pieces": pieces}[kind]
    found: dict[str, str] = {}
    for package in packages:
        for path in files(package, ".py"):
            for text in read(path):
                if LENGTHS[0] <= len(text) <= LENGTHS[1]:
                    found.setdefault(text, str(path) if kind == "pieces" else f"text {len(found)}")
    return tuple((document, text) for text, document in found.items())


def halves(texts: Sequence[tuple[str, str]], count: int, rng: Random) -> tuple[list[tuple[str, str]], ...]:
    """`count` texts twice, no document on both sides."""
    by_document: dict[str, list[tuple[str, str]]] = {}
    for document, text in texts:
        by_document.setdefault(document, []).append((document, text))
    names = list(by_document)
    drawn = [each for place in rng.permutation(len(names)) for each in by_document[names[place]]]
    middle = min(count, len(drawn) // 2)
    while 0 < middle < len(drawn) and drawn[middle][0] == drawn[middle - 1][0]:
        middle += 1
    return drawn[:middle], drawn[middle : middle + count]


# What is planted. Each takes texts and gives as many, every one of them with the fault.


def topic_drift(texts: Texts, other: Texts, seeds: Texts, rng: Random) -> Texts:
    return list(rng.choice(np.array(other, object), len(texts), replace=len(texts) > len(other)))


def shorter(texts: Texts, other: Texts, seeds: Texts, rng: Random) -> Texts:
    """The first half of a text's sentences, or of a program's lines."""
    parts = [re.split(r"(?<=[.!?])\s+(?=[A-Z])", text) for text in texts]
    parts = [part if len(part) > 1 else text.splitlines(keepends=True) for part, text in zip(parts, texts, strict=True)]
    return [("" if "\n" in part[0] else " ").join(part[: max(1, len(part) // 2)]) for part in parts]


def longer(texts: Texts, other: Texts, seeds: Texts, rng: Random) -> Texts:
    """Two texts in one."""
    order = rng.permutation(len(texts))
    return [f"{text}\n\n{texts[n]}" for text, n in zip(texts, order, strict=True)]


def templates(texts: Texts, other: Texts, seeds: Texts, rng: Random) -> Texts:
    before = ("Sure! Here is the text you asked for:\n\n", "In this article we will take a closer look.\n\n")
    after = (
        "\n\nIn conclusion, this shows how important it is.",
        "\n\nI hope this helps! Let me know what else you need.",
    )
    return [before[rng.integers(2)] + text + after[rng.integers(2)] for text in texts]


def opening(texts: Texts, other: Texts, seeds: Texts, rng: Random) -> Texts:
    return ["In today's fast-paced world, it is worth noting that " + text[0].lower() + text[1:] for text in texts]


def truncation(texts: Texts, other: Texts, seeds: Texts, rng: Random) -> Texts:
    return [text[: int(len(text) * rng.uniform(0.5, 0.95))] for text in texts]


def most_words(texts: Texts, other: Texts, seeds: Texts, rng: Random) -> Texts:
    """As `max_tokens` does it."""
    limit = int(np.quantile([len(text.split()) for text in texts], 0.4))
    pieces = [re.findall(r"\s*\S+", text) for text in texts]
    return ["".join(words[: max(5, min(limit, int(0.9 * len(words))))]) for words in pieces]


def copying(texts: Texts, other: Texts, seeds: Texts, rng: Random) -> Texts:
    return list(rng.choice(np.array(seeds, object), len(texts), replace=len(texts) > len(seeds)))


def long_spans(texts: Texts, other: Texts, seeds: Texts, rng: Random) -> Texts:
    """Half a real text within another."""
    found = []
    for text, seed in zip(texts, rng.permutation(np.array(seeds, object)), strict=False):
        words = re.findall(r"\s*\S+", text)
        at = int(rng.integers(len(words) + 1))
        found.append("".join([*words[:at], " ", seed[: max(400, len(seed) // 2)], *words[at:]]))
    return found


def collapse(texts: Texts, other: Texts, seeds: Texts, rng: Random) -> Texts:
    """Five texts, a tenth of their words changed."""
    five, vocabulary = texts[:5], np.array(" ".join(texts).split(), object)
    found = []
    for _ in texts:
        words = re.split(r"(\s+)", five[rng.integers(5)])
        for place in range(0, len(words), 2):
            if rng.random() < 0.1:
                words[place] = str(vocabulary[rng.integers(len(vocabulary))])
        found.append("".join(words))
    return found


def residue(texts: Texts, other: Texts, seeds: Texts, rng: Random) -> Texts:
    kinds: list[Callable[[str], str]] = [
        lambda text: text + "<|im_end|>",
        lambda text: "<div><p>" + text.replace("\n\n", "</p>\n<p>") + "</p></div>",
        lambda text: "```markdown\n" + text + "\n```",
        lambda text: "As an AI language model, I cannot browse. " + text,
        lambda text: "### Response:\n" + text + "</s>",
        lambda text: text.replace(" and ", " &amp; ").replace('"', "&quot;") + "&nbsp;",
    ]
    return [kinds[rng.integers(len(kinds))](text) for text in texts]


# Subjects and objects, verbs, the rest.
GERMAN = (
    "der Hund das Haus die Frau ein Kind der Wagen die Stadt das Wasser der Morgen die Arbeit das Buch der Freund",
    "geht sieht findet braucht sucht nimmt bringt verliert öffnet schließt zeigt kennt liebt hört schreibt liest",
    "heute morgen gestern immer niemals langsam schnell im Garten auf der Straße am Abend ohne Geld mit großer Freude",
)
FRENCH = (
    "le chien la maison la femme un enfant la voiture la ville le matin le travail le livre mon ami cette école",
    "regarde trouve cherche prend apporte perd ouvre ferme montre connaît aime écoute écrit lit construit vend demande",
    "aujourd'hui demain hier toujours jamais lentement dans le jardin sur la route au soir sans argent avec joie",
)


def language(texts: Texts, other: Texts, seeds: Texts, rng: Random) -> Texts:
    """German or French sentences, as long as the text."""
    found = []
    for text in texts:
        subject, verb, rest = (part.split() for part in (GERMAN, FRENCH)[rng.integers(2)])
        sentences = ""
        while len(sentences) < len(text):
            two = int(rng.integers(len(subject) // 2)) * 2
            thing = int(rng.integers(len(subject) // 2)) * 2
            words = [*subject[two : two + 2], verb[rng.integers(len(verb))], *subject[thing : thing + 2]]
            words += [rest[rng.integers(len(rest))] for _ in range(int(rng.integers(1, 4)))]
            sentences += " ".join(words).capitalize() + ". "
        found.append(sentences.strip())
    return found


def leakage(texts: Texts, other: Texts, seeds: Texts, rng: Random) -> Texts:
    items = suite().tasks[0].items
    found = []
    for text in texts:
        item = items[rng.integers(len(items))]
        found.append(f"{text}\n\n{item.question}\n{item.answer}")
    return found


def repetition(texts: Texts, other: Texts, seeds: Texts, rng: Random) -> Texts:
    """The text begins, and then goes round: its last line or sentence, over and over, to the text's own length."""
    found = []
    for text in texts:
        begin = text[: int(len(text) * rng.uniform(0.2, 0.5))]
        phrase = re.split(r"(?<=[.:\n])\s*", begin)[-1].strip() or begin[-60:]
        phrase = " ".join(phrase.split()[-int(rng.integers(4, 16)) :]) + " "
        found.append((begin + " " + phrase * (1 + len(text) // len(phrase)))[: len(text)])
    return found


PLANTED: dict[str, tuple[str, Callable[[Texts, Texts, Texts, Random], Texts]]] = {
    "topic drift": ("topic drift", topic_drift),
    "length shift: half": ("length shift", shorter),
    "length shift: double": ("length shift", longer),
    "templates: frame": ("templates", templates),
    "templates: opening": ("templates", opening),
    "truncation: anywhere": ("truncation", truncation),
    "truncation: most words": ("truncation", most_words),
    "copying of seeds: whole": ("copying of seeds", copying),
    "copying of seeds: spans": ("copying of seeds", long_spans),
    "mode collapse": ("mode collapse", collapse),
    "markup residue": ("markup residue", residue),
    "wrong language": ("wrong language", language),
    "evaluation leakage": ("evaluation leakage", leakage),
    "repetition": ("repetition", repetition),
}
# Half of a program is one that was cut; pieces are cut anyway, and as long as they were cut.
NONSENSE = {("functions", "length shift: half")} | {
    ("pieces", f"{fault}: {how}")
    for fault, how in (
        ("length shift", "half"), ("length shift", "double"), ("truncation", "anywhere"), ("truncation", "most words"),
    )
}  # fmt: skip


@lru_cache(maxsize=1)
def suite() -> Suite:
    """Two hundred questions of our own: sums told as stories, whose names and numbers differ."""
    rng = np.random.default_rng(5)
    names = [
        "Alma",
        "Boris",
        "Chen",
        "Dara",
        "Emil",
        "Farah",
        "Goran",
        "Hana",
        "Ivo",
        "Jun",
        "Kira",
        "Lars",
        "Mona",
        "Nils",
        "Olga",
        "Pavel",
    ]
    goods = [
        "lanterns",
        "barrels",
        "saddles",
        "violins",
        "kettles",
        "candles",
        "anchors",
        "ribbons",
        "marbles",
        "hammers",
        "mirrors",
        "blankets",
    ]
    places = [
        "harbour",
        "mill",
        "fair",
        "quarry",
        "bakery",
        "orchard",
        "chapel",
        "foundry",
        "market",
        "library",
        "stable",
        "tannery",
    ]
    items = []
    for number in range(200):
        a, b, c = (int(value) for value in rng.integers(11, 400, 3))
        who, other = (str(name) for name in rng.choice(names, 2, replace=False))
        what, where, second = str(rng.choice(goods)), str(rng.choice(places)), str(rng.choice(places))
        items.append(
            Item(
                f"sum-{number}",
                f"{who} carries {a} {what} to the {where} before {other} comes there with {b} more from the {second}. "
                f"On the way home {who} gives {c} of the {what} away. How many {what} do they have left?",
                answer=f"{who} and {other} have {a} + {b} - {c} = {a + b - c} {what} left.",
            )
        )
    return Suite.of("stories", (Task("stories", "generate", tuple(items)),))


SYNONYMS = {
    "return": "give back", "returns": "gives back", "use": "employ", "used": "employed", "using": "by means of",
    "number": "count", "must": "has to", "also": "as well", "value": "quantity", "given": "supplied", "if": "whenever",
    "default": "standard", "set": "collection", "this": "the present", "which": "that", "only": "solely",
    "large": "big", "small": "little", "computes": "works out", "compute": "work out", "function": "routine",
}  # fmt: skip


def rephrase(text: str, format: str) -> str:
    """The same statements in another form, a few words changed: a mechanical stand-in for a faithful teacher."""
    parts = re.split(r"(?<=[.:;])\s+|\n\n+|\n(?=\s*>>>|\s*[-*] )", text)
    sentences = [" ".join(part.split()) for part in parts if part.split()]
    said = [re.sub(r"\w+", lambda m: SYNONYMS.get(m.group(), m.group()), part) for part in sentences]
    if format == "list":
        return "\n".join(f"- {part}" for part in said)
    asked = [
        f"Q: What is said of {max(re.findall(r'[A-Za-z]+', part) or ['it'], key=len)}?\nA: {part}" for part in said
    ]
    return "\n\n".join(asked)


def one(task: tuple[str, str, float, int, int]) -> dict:
    """One draw: which corpus, what is planted ("" nothing), in which share of the rows, the draw's number, rows."""
    name, planted, dose, draw, count = task
    packages, kind, away, away_kind = CORPORA[name]
    other = [text for _, text in corpus(away, away_kind)]
    rng = np.random.default_rng([draw, count, *name.encode(), *planted.encode()])
    genuine, held_out = halves(corpus(packages, kind), count, rng)
    real, rows = ([text for _, text in half] for half in (genuine, held_out))
    owners = [document for document, _ in held_out]
    settings, seeds = GateSettings(pieces=kind == "pieces"), [""] * len(rows)
    if planted.startswith("rephrase"):
        format = planted.split()[-1]
        chosen = rng.permutation(len(real))[: len(rows)]
        owners, seeds = [genuine[n][0] for n in chosen], [real[n] for n in chosen]
        rows, settings = [rephrase(seed, format) for seed in seeds], GateSettings(format=format)
    elif planted:
        hit = rng.permutation(len(rows))[: round(dose * len(rows))]
        changed = PLANTED[planted][1]([rows[n] for n in hit], other, real, rng)
        for n, text in zip(hit, changed, strict=True):
            rows[n] = text
    began = time.perf_counter()
    found: Report = gate(
        real,
        [
            Row(text, "planted", seed_text=seed, seeds=(owner,))
            for text, seed, owner in zip(rows, seeds, owners, strict=True)
        ],
        settings,
        seed=draw,
        suites=(suite(),),
        groups=[document for document, _ in genuine],
        describe=False,
    )
    measures = {m.name: [m.fault, m.value, m.low, m.high, m.verdict] for m in found.measures if m.margin is not None}
    return {
        "corpus": name, "planted": planted, "dose": dose, "verdict": found.verdict, "faults": found.faults,
        "seconds": time.perf_counter() - began, "measures": measures,
    }  # fmt: skip


def unsure(group: Sequence[dict]) -> Texts:
    """What could not be told, in draws in which nothing else was wrong."""
    told = [r["measures"].items() for r in group if r["verdict"] == "cannot tell"]
    return [name for measures in told for name, values in measures if values[4] == "cannot tell"]


def summary(results: Sequence[dict]) -> list[dict]:
    """By corpus, what was planted, and dose: how often each verdict, and how often the fault was named, and first."""
    groups: dict[tuple, list[dict]] = {}
    for result in results:
        groups.setdefault((result["corpus"], result["planted"], result["dose"]), []).append(result)
    lines = []
    for (name, planted, dose), group in groups.items():
        fault = PLANTED[planted][0] if planted in PLANTED else ""
        n = len(group)
        lines.append(
            {
                "corpus": name, "planted": planted or "nothing", "dose": dose, "draws": n,
                "admitted": sum(r["verdict"] == "admitted" for r in group) / n,
                "rejected": sum(r["verdict"] == "rejected" for r in group) / n,
                "named": sum(fault in r["faults"] for r in group) / n if fault else None,
                "named_first": sum(r["faults"][:1] == [fault] for r in group) / n if fault else None,
                "first": dict(Counter((r["faults"] or ["-"])[0] for r in group).most_common(3)),
                "seconds": float(np.median([r["seconds"] for r in group])),
                "unsure": dict(Counter(unsure(group)).most_common(4)),
            }
        )  # fmt: skip
    return lines


def table(lines: Sequence[dict]) -> str:
    """For a document: one row a planting, the share rejected at each dose, over all corpora."""
    doses = sorted({line["dose"] for line in lines if line["dose"]})
    rows = [
        "| planted | " + " | ".join(f"{dose:g}" for dose in doses) + " | named first at 1 |",
        "|" + "---|" * (len(doses) + 2),
    ]
    for planted in dict.fromkeys(line["planted"] for line in lines if line["dose"]):
        cells = []
        for dose in doses:
            group = [line for line in lines if line["planted"] == planted and line["dose"] == dose]
            cells.append(
                f"{np.average([g['rejected'] for g in group], weights=[g['draws'] for g in group]):.2f}"
                if group
                else "–"
            )
        full = [
            line
            for line in lines
            if line["planted"] == planted and line["dose"] == 1 and line["named_first"] is not None
        ]
        first = f"{np.mean([line['named_first'] for line in full]):.2f}" if full else "–"
        rows.append(f"| {planted} | " + " | ".join(cells) + f" | {first} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="*", default=list(CORPORA), choices=list(CORPORA))
    parser.add_argument("--planted", nargs="*", default=list(PLANTED), choices=list(PLANTED))
    parser.add_argument(
        "--draws", type=int, default=100, help="of nothing planted, rephrases and full doses, over all corpora"
    )
    parser.add_argument("--full-draws", type=int, help="of full doses  [default: as --draws]")
    parser.add_argument("--dose-draws", type=int, default=20, help="at each smaller dose, over all corpora")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="a table for a document instead of JSON")
    parser.add_argument(
        "--json", action="store_true", help="accepted for symmetry: the output is JSON but with --table"
    )
    arguments = parser.parse_args()
    from orionlm.tasks.simplebench import wilson

    tasks = []
    for draw in range(arguments.draws):
        name = arguments.corpus[draw % len(arguments.corpus)]
        forms = () if CORPORA[name][1] in ("functions", "pieces") else ("rephrase as faq", "rephrase as list")
        tasks += [(name, planted, 0.0, draw, arguments.rows) for planted in ("", *forms)]
        planted_here = [p for p in arguments.planted if (CORPORA[name][1], p) not in NONSENSE]
        if draw < (arguments.draws if arguments.full_draws is None else arguments.full_draws):
            tasks += [(name, planted, 1.0, draw, arguments.rows) for planted in planted_here]
        if draw < arguments.dose_draws:
            tasks += [(name, p, dose, draw, arguments.rows) for p in planted_here for dose in DOSES[:-1]]
    tasks.sort(key=lambda task: task[0])
    if arguments.jobs > 1:
        with ProcessPoolExecutor(arguments.jobs, get_context("spawn")) as pool:
            results = list(pool.map(one, tasks, chunksize=8))
    else:
        results = [one(task) for task in tasks]
    lines = summary(results)
    if arguments.table:
        print(table(lines))
        return
    full = [[r for r in results if r["dose"] == 1 and PLANTED[r["planted"]][0] == f] for f in FAULTS]
    plain = [r["verdict"] == "admitted" for r in results if not r["planted"]]
    rephrases = [r["verdict"] == "admitted" for r in results if r["planted"].startswith("rephrase")]
    low, high = wilson(sum(plain), len(plain), z=1.644854) if plain else (None, None)

    def least(share: Callable[[str, dict], bool]) -> float | None:
        """Of the ten faults at full dose, the one with the smallest share."""
        rates = [np.mean([share(f, r) for r in group]) for f, group in zip(FAULTS, full, strict=True) if group]
        return float(min(rates)) if rates else None

    packages = sorted({package for name in arguments.corpus for package in (*CORPORA[name][0], *CORPORA[name][2])})
    document = {
        "name": "gate",
        "ours": float(np.mean(plain)) if plain else None,
        "peer": None,
        "ratio": None,
        "low": low,
        "high": high,
        "rephrases_admitted": float(np.mean(rephrases)) if rephrases else None,
        "least_rejected": least(lambda fault, r: r["verdict"] == "rejected"),
        "least_named": least(lambda fault, r: fault in r["faults"]),
        "least_named_first": least(lambda fault, r: r["faults"][:1] == [fault]),
        "goal": "real text admitted in 0.95 of draws; each fault rejected and named first in 0.95 at full dose",
        "unit": "share of draws in which held-out real text is admitted",
        "versions": {"python": sys.version.split()[0]} | {package: version(package) for package in packages},
        "command": " ".join(["python", "benchmarks/gate.py", *sys.argv[1:]]),
        "results": lines,
    }
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
