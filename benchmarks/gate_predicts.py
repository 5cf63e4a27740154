"""Does what the gate says of a set of rows foretell what students learn from it?

Sets of the same size and of differing kind and quality, from real text that nobody had to write, over what our own
models write at several strengths and temperatures, to templates and shuffled words. For each one: the gate's score and
every measure, on the genuine text at hand alone; then students of that text and the set, all at equal FLOPs, each at
its best branch, on held-out text. Spearman's correlation of either with the other, its interval from draws of sets.

    orion run quickstart --dir runs/quickstart
    python benchmarks/gate_predicts.py --run runs/quickstart [--teacher CHECKPOINT] [--json]
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
STOCK, LONGEST, SET_BYTES = 250_000, 2_000, 330_000


def passages(texts: Sequence[str], seed: int, most: int = SET_BYTES) -> list[str]:
    """Pieces of about 250 characters in a random order, `most` bytes of them."""
    from orionlm.synth.excerpts import excerpts

    rng = random.Random(seed)
    lengths = [rng.randint(150, 350) for _ in range(1000)]
    pieces = excerpts(texts, lengths, seed)
    rng.shuffle(pieces)
    return until(pieces, most)


def until(texts: Sequence[Any], most: int) -> list[Any]:
    kept, size = [], 0
    for text in texts:
        if size >= most:
            break
        kept.append(text)
        size += len((text if isinstance(text, str) else text.text).encode())
    return kept


class Written(NamedTuple):
    """`owner`: the document of the stock that it came from."""

    text: str
    shown: str
    owner: str


def again(stock: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    for seed in range(4):
        for number, text in enumerate(stock):
            yield from ((piece, piece, str(number)) for piece in passages([text], seed))


def written(checkpoint: Path, stock: Sequence[str], temperature: float, seed: int) -> list[Written]:
    """As a checkpoint goes on from lines of the stock; whole lines, `SET_BYTES` of them."""
    from orionlm.inference.engine.load import load_engine
    from orionlm.sampling import Sampling

    loaded = load_engine(checkpoint, slots=128)
    engine, tokenizer, rng = loaded.engine, loaded.tokenizer, random.Random(seed)
    found: list[Written] = []
    size = 0
    while size < SET_BYTES:
        prompts = []
        for _ in range(256):
            owner = rng.randrange(len(stock))
            lines = stock[owner].splitlines(keepends=True)
            start = rng.randrange(len(lines))
            shown = "".join(lines[start:])[:100]
            prompts.append(
                (shown, str(owner), tokenizer.encode(shown, add_special_tokens=False).ids[:30] or [engine.ends[0]])
            )
        sampling = Sampling(max_tokens=96, temperature=temperature, seed=seed + len(found))
        answers = engine.answers([ids for _, _, ids in prompts], sampling)
        for (shown, owner, _), [answer] in zip(prompts, answers, strict=True):
            text = tokenizer.decode([token for token in answer.tokens if token not in engine.ends])
            text = text[: text.rstrip().rfind("\n") + 1] if answer.finish == "length" else text
            if text.strip():
                found.append(Written(text.strip("\n"), shown, owner))
                size += len(text.encode())
    return found


def kinds(
    run: Path, stock: Sequence[str], others: Sequence[str], teacher: Path | None, seed: int
) -> dict[str, Callable[[], Any]]:
    """Name → texts, or `Written`."""
    artifacts, rng, first = run / "artifacts", random.Random(7 + seed), 100 * seed
    models = {"run": artifacts / "run"} | ({"strong": teacher} if teacher else {})
    rungs = sorted((artifacts / "ladder" / "models").glob("*"))
    models |= {"rung": rungs[-1], "small rung": rungs[0]}
    half = len(others) // 2

    def shuffled(text: str) -> str:
        words = re.findall(r"\s*\S+", text)
        rng.shuffle(words)
        return "".join(words)

    made: dict[str, Callable[[], Any]] = {
        "real, other documents": lambda: passages(others[:half], first + 1),
        "real, words shuffled": lambda: [shuffled(text) for text in passages(others[:half], first + 2)],
        "the stock again": lambda: until([Written(*row) for row in again(stock)], SET_BYTES),
        "few of them, many times": lambda: until(passages(others[half:], first + 4, 15_000) * 100, SET_BYTES),
        "real in a frame": lambda: until(
            [
                f"# Here is an example of Python code.\n{t}\n# I hope this helps."
                for t in passages(others[:half], first + 5)
            ],
            SET_BYTES,
        ),
        "real, letters swapped": lambda: [noisy(text, rng, 0.1) for text in passages(others[half:], first + 6)],
    }
    for name, folder in models.items():
        for temperature in (0.7, 1.0) if name in ("run", "strong") else (1.0,):
            label = f"{name} at {temperature:g}"
            made[label] = lambda folder=folder, t=temperature: written(folder, stock, t, first + 11)
    weak = models["small rung"]
    made["half real, half small rung"] = lambda: [
        *passages(others[:half], first + 8, SET_BYTES // 2),
        *until(written(weak, stock, 1.0, first + 12), SET_BYTES // 2),
    ]
    return made


def noisy(text: str, rng: random.Random, share: float) -> str:
    letters = list(text)
    for place in range(len(letters)):
        if letters[place].isalpha() and rng.random() < share:
            letters[place] = rng.choice("abcdefghijklmnopqrstuvwxyz")
    return "".join(letters)


def measures(stock: Sequence[str], rows: Sequence[Any], seed: int) -> dict[str, float]:
    """Everything that can be said of a set beside the genuine text at hand; larger is worse, but for the names that end
    in `+`."""
    from orionlm.synth.gate.gate import GateSettings, gate
    from orionlm.synth.measures.diversity import compression_ratio
    from orionlm.synth.measures.embedding import Embedding
    from orionlm.synth.measures.frechet import frechet
    from orionlm.synth.measures.mauve import mauve
    from orionlm.synth.measures.mmd import mmd2
    from orionlm.synth.measures.two_sample import two_sample
    from orionlm.synth.measures.vendi import vendi

    texts = [row.text for row in rows]
    owners = [str(number) for number in range(len(stock))]
    pieces = [(owner, piece) for owner, text in zip(owners, stock, strict=True) for piece in passages([text], seed)]
    first = {owner for owner in owners if int(owner) % 2}
    fit = [piece for owner, piece in pieces if owner in first]
    rest = [(owner, piece) for owner, piece in pieces if owner not in first]
    owned = [owner for owner, _ in pieces]
    seeds = [row.seeds for row in rows]
    report = gate([piece for _, piece in pieces], rows, GateSettings(pieces=True), seed=seed, groups=owned)
    embedding = Embedding.fit(fit, seed=seed)
    real_x = embedding.transform([piece for _, piece in rest])
    some = random.Random(seed).sample(range(len(texts)), min(len(texts), len(rest)))
    x = embedding.transform([texts[n] for n in some])
    return {
        "gate score+": report.score,
        **{f"gate: {m.name}": m.value for m in report.measures if m.margin is not None},
        "MAUVE+": mauve(real_x, x, draws=20).value,
        "Fréchet": frechet(real_x, x, draws=20).value,
        "MMD²": mmd2(real_x, x).value,
        "C2ST, AUC": two_sample([p for _, p in pieces], texts, owned, seeds).auc.value,
        "Vendi+": vendi(x).value,
        "compression ratio": compression_ratio(texts).value,
        "faults found": len(report.faults),
    } | {"verdict": report.verdict, "faults": report.faults}


def correlations(sets: dict[str, dict[str, Any]], draws: int = 4000) -> dict[str, dict[str, float]]:
    """Spearman's ρ of each measure with bits per byte, both turned so that larger is better: 1 foretells."""
    from scipy.stats import spearmanr

    names = list(sets)
    quality = -np.array([np.mean(sets[name]["bits_per_byte"]) for name in names])
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(names), (draws, len(names)))
    found = {}
    for measure in (m for m in sets[names[0]]["measures"] if m not in ("verdict", "faults")):
        values = np.array([sets[name]["measures"].get(measure, np.nan) for name in names], float)
        if not np.isfinite(values).all():
            continue
        values = values if measure.endswith("+") else -values
        with np.errstate(all="ignore"):
            drawn = [spearmanr(values[p], quality[p]).statistic for p in picks if len(set(p)) > 3]
        rho = spearmanr(values, quality).statistic
        low, high = np.nanquantile(drawn, [0.05, 0.95])
        found[measure.rstrip("+")] = {"rho": float(rho), "low": float(low), "high": float(high), "n": len(names)}
    return dict(sorted(found.items(), key=lambda item: -item[1]["rho"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a finished run of the recipe quickstart")
    parser.add_argument("--teacher", type=Path, help="a stronger checkpoint, beside the run's own")
    parser.add_argument("--seeds", type=int, default=2, help="students of each set")
    parser.add_argument("--seed", type=int, default=1, help="of the text at hand and of the sets")
    parser.add_argument("--flops", type=float, default=5e11, help="of a student")
    parser.add_argument("--out", type=Path, help="keep the work here; go on with it another time")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    from orionlm.artifact import open_artifact, write_json
    from orionlm.data import subset
    from orionlm.data.documents import shard_files, texts
    from orionlm.data.shards import TokenSet, tokenise
    from orionlm.ladder.side_by_side import Wanted, train_side_by_side
    from orionlm.progress import Progress
    from orionlm.recipe.context import Context
    from orionlm.synth.rows import Row, read_rows, row_files, write_rows
    from orionlm.synth.students import REAL, Settings, plan_students, write_arms

    out = given.out or Path(tempfile.mkdtemp(prefix="gate-"))
    out.mkdir(parents=True, exist_ok=True)
    context = Context("gate-predicts", given.seed, out, Progress())
    corpus = open_artifact(given.run / "artifacts" / "corpus")
    stock_dir = out / "stock"
    stock_dir.mkdir(exist_ok=True)
    if not (stock_dir / "corpus.json").exists():
        subset.run(subset.Settings(bytes=STOCK, longest=LONGEST), {"corpus": corpus}, stock_dir, context)
    stock = list(texts(shard_files(stock_dir, "train")))
    held = set(stock)
    others = [text for text in texts(shard_files(corpus.path, "train")) if text[:LONGEST] not in held]
    random.Random(given.seed).shuffle(others)
    rows: dict[str, list[Row]] = {}
    for name, make in kinds(
        given.run, stock, [text[:6_000] for text in others[:400]], given.teacher, given.seed
    ).items():
        folder = out / "rows" / name.replace(" ", "-")
        if not row_files(folder):
            texts_or_rows = enumerate(make())
            made = [one if isinstance(one, Written) else Written(one, "", f"other {n}") for n, one in texts_or_rows]
            write_rows(folder, [Row(one.text, name, seed_text=one.shown, seeds=(one.owner,)) for one in made])
        rows[name] = list(read_rows(row_files(folder)))
    names = {f"set{number}": name for number, name in enumerate(rows)}
    arms = {short: rows[name] for short, name in names.items()}
    tokens_dir = out / "tokens"
    if not (tokens_dir / "tokens.json").exists():
        from orionlm.artifact import Artifact

        files = ["corpus.json", *(path.name for path in stock_dir.glob("*.parquet"))]
        write_arms(tokens_dir / "corpus", Artifact(stock_dir, "subset", {"files": dict.fromkeys(files)}, ""), arms)
        tokenizer = (given.run / "artifacts" / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8")
        tokenise(tokens_dir / "corpus", tokenizer, tokens_dir, context)
    tokens = TokenSet.open(tokens_dir, "train")
    runs, mixtures = plan_students(Settings(flops=given.flops, seeds=given.seeds), tokens, given.seed, [REAL, *arms])
    wanted = [Wanted(run, tokens_dir, mixtures[run.name.split("-")[0]]) for run in runs]
    trained = train_side_by_side(wanted, out, context, 131_072)
    bits: dict[str, list[float]] = {}
    for run, (points, _) in zip(runs, trained, strict=True):
        bits.setdefault(run.name.split("-")[0], []).append(min(point["bits_per_byte"] for point in points))
    sets = {}
    for short, name in names.items():
        print(f"measuring {name}", file=sys.stderr)
        sets[name] = {"bits_per_byte": bits[short], "measures": measures(stock, rows[name], given.seed)}
    page = {
        "name": "gate_predicts", "stock_bytes": STOCK, "student_flops": given.flops, "seeds": given.seeds,
        "real alone": bits[REAL], "sets": sets, "correlations": correlations(sets),
        "command": "python benchmarks/gate_predicts.py --run RUN",
    }  # fmt: skip
    write_json(out / "gate_predicts.json", page)
    if given.json:
        print(json.dumps(page, indent=1))
        return
    print(f"real alone, repeated: {np.mean(bits[REAL]):.3f} bits per byte")
    for name, found in sorted(sets.items(), key=lambda item: np.mean(item[1]["bits_per_byte"])):
        said = found["measures"]
        print(
            f"{np.mean(found['bits_per_byte']):.3f}  score {said['gate score+']:.2f}  {said['verdict']:12} {name}: "
            f"{', '.join(said['faults'][:3])}"
        )
    for name, found in page["correlations"].items():
        print(f"ρ {found['rho']:+.2f} ({found['low']:+.2f} to {found['high']:+.2f})  {name}")


if __name__ == "__main__":
    main()
