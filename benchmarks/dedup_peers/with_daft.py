"""The same steps as a bare Daft script, for one run: python with_daft.py DOCUMENTS OUT.

Normalise, MinHash, bands, groups, connected components, anti-join, after Daft's own example of deduplication, with its
slowest parts replaced: bands are grouped by their hash, and components found by scipy.
"""

import sys

import daft
from daft import col
from daft.functions import explode, hash, length, list_agg, list_min, minhash, monotonically_increasing_id, normalize

BANDS, ROWS, NGRAM = 16, 8, 5


def main(documents: str, out: str) -> None:
    # Collected: read a second time, the documents would get other numbers.
    read = daft.read_parquet(f"{documents}/*.parquet").with_column("node", monotonically_increasing_id()).collect()
    words = normalize(col("text"), remove_punct=True, lowercase=True, white_space=True)
    hashes = minhash(words, num_hashes=BANDS * ROWS, ngram_size=NGRAM, seed=1, hash_function="xxhash")
    edges = (
        read.select("node", explode(hashes.chunk(ROWS)).alias("band"))
        .select("node", hash(col("band")).alias("band"))
        .groupby("band")
        .agg(list_agg(col("node")).alias("nodes"))
        .where(length(col("nodes")) > 1)
        .select(list_min(col("nodes")).alias("first"), explode(col("nodes")).alias("other"))
        .to_arrow()
    )
    copies = daft.from_pydict({"node": components(edges["first"].to_numpy(), edges["other"].to_numpy())})
    read.join(copies, on="node", how="anti").exclude("node").write_parquet(out, compression="zstd")


def components(first, other):  # noqa: ANN001, ANN201
    """All nodes but the first of each component."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    nodes, ends = np.unique(np.concatenate([first, other]), return_inverse=True)
    pairs = (np.ones(len(first), np.int8), (ends[: len(first)], ends[len(first) :]))
    _, family = connected_components(coo_array(pairs, shape=(len(nodes), len(nodes))), directed=False)
    return np.delete(nodes, np.unique(family, return_index=True)[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
