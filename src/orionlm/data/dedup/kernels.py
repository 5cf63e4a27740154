"""Where do the fast loops over text come from? Daft's Rust kernels, on one column at a time; its engine is not started.

They run without Python's lock, so threads share the work.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from orionlm.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

SEED = 1


def minhash(words: pa.Array, permutations: int, ngram: int) -> np.ndarray:
    """uint32 [texts, permutations]: each text's least hashes of n-grams. A word is what stands between two spaces."""
    daft = _daft()
    expression = daft.functions.minhash(
        daft.col("text"), num_hashes=permutations, ngram_size=ngram, seed=SEED, hash_function="xxhash3_64"
    )
    return _evaluate(words, expression).flatten().to_numpy().reshape(len(words), permutations)


def hashes(texts: pa.Array) -> np.ndarray:
    """A 64-bit hash of each text, uint64."""
    daft = _daft()
    return _evaluate(texts, daft.functions.hash(daft.col("text"))).to_numpy()


def _evaluate(texts: pa.Array, expression: Any) -> pa.Array:
    import pyarrow as pa
    from daft.expressions import ExpressionsProjection
    from daft.recordbatch import RecordBatch

    batch = RecordBatch.from_arrow_table(pa.table({"text": texts}))
    return batch.eval_expression_list(ExpressionsProjection([expression])).to_arrow_table().column(0).combine_chunks()


def _daft() -> Any:
    os.environ.setdefault("DAFT_ANALYTICS_ENABLED", "0")  # it would tell its makers that it was imported
    try:
        import daft
        import daft.functions
    except ImportError:
        raise UserError("comparing documents needs the extra data: pip install 'orion-lm[data]'") from None
    return daft
