from pathlib import Path

import numpy as np
import pytest

from orionlm.artifact import write_json
from orionlm.data.shards import TokenSet


def write_tokens(folder: Path, count: int = 20_000, vocabulary: int = 300) -> Path:
    """A token set with something to learn: short random phrases, each told twice."""
    random = np.random.default_rng(0)
    phrases = [np.tile(random.integers(1, vocabulary, 8), 2) for _ in range(count // 17)]
    stream = np.concatenate([np.append(phrase, 0) for phrase in phrases]).astype("<u2")
    folder.mkdir(parents=True, exist_ok=True)
    splits = {}
    for split, tokens in (("train", stream), ("validation", stream[: 17 * 200])):
        (folder / f"{split}-00000.bin").write_bytes(tokens.tobytes())
        size = {"tokens": len(tokens), "bytes": 2 * len(tokens), "documents": len(tokens) // 17}
        splits[split] = size | {"shards": [{"file": f"{split}-00000.bin"} | size]}
    lengths = [0] + [2] * (vocabulary - 1)
    write_json(
        folder / "tokens.json",
        {"dtype": "uint16", "vocabulary": vocabulary, "eot": 0, "token_bytes": lengths} | splits,
    )
    return folder


@pytest.fixture
def token_set(tmp_path):
    return TokenSet.open(write_tokens(tmp_path / "tokens"), "train")
