"""The same steps with rensa: python with_rensa.py DOCUMENTS OUT [PROCESSES].

Word 5-grams cut in Python, as its users do, its R-MinHash and its deduplicator with LSH, which looks at the estimated
similarity of each candidate. With PROCESSES, the n-grams and sketches are made in so many at once.
"""

import re
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
from rensa import RMinHash, RMinHashDeduplicator

BANDS, ROWS, NGRAM, THRESHOLD, SEED = 16, 8, 5, 0.75, 1
WORD = re.compile(r"\w+")
BATCH = 1000


def shingles(text: str) -> list[str]:
    words = WORD.findall(text.lower())
    return [" ".join(words[i : i + NGRAM]) for i in range(max(1, len(words) - NGRAM + 1))]


def sketches(path: Path) -> Iterator[RMinHash]:
    for batch in pq.ParquetFile(path).iter_batches(BATCH, columns=["text"]):
        texts = batch.column(0).to_pylist()
        yield from RMinHash.from_token_sets([shingles(text) for text in texts], num_perm=BANDS * ROWS, seed=SEED)


def listed(path: Path) -> list[RMinHash]:
    return list(sketches(path))


def main(documents: str, out: str, processes: str = "1") -> None:
    Path(out).mkdir(parents=True)
    known = RMinHashDeduplicator(threshold=THRESHOLD, num_perm=BANDS * ROWS, use_lsh=True, num_bands=BANDS, seed=SEED)
    paths = sorted(Path(documents).glob("*.parquet"))
    with ProcessPoolExecutor(int(processes)) as pool:
        found = map(sketches, paths) if processes == "1" else pool.map(listed, paths)
        for path, made in zip(paths, found, strict=True):
            table = pq.read_table(path)
            kept = [known.add(f"{path.name}:{row}", sketch) for row, sketch in enumerate(made)]
            pq.write_table(table.filter(kept), Path(out) / path.name, compression="zstd")


if __name__ == "__main__":
    main(*sys.argv[1:])
