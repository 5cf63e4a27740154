from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from orionlm.artifact import write_json
from orionlm.data.shards import TokenSet


def write_tokens(
    folder: Path,
    count: int = 20_000,
    vocabulary: int = 300,
    shares: Mapping[str, float] = MappingProxyType({"text": 1.0}),
) -> Path:
    """A token set with something to learn, short random phrases, each told twice; its domains hold shares of it."""
    random = np.random.default_rng(0)
    phrases = [np.tile(random.integers(1, vocabulary, 8), 2) for _ in range(count // 17)]
    stream = np.concatenate([np.append(phrase, 0) for phrase in phrases]).astype("<u2")
    folder.mkdir(parents=True, exist_ok=True)
    splits = {}
    for split, tokens in (("train", stream), ("validation", stream[: 17 * 200])):
        domains, first = {}, 0
        for name, share in shares.items():
            last = first + 17 * round(share * len(tokens) / 17)
            part, first = tokens[first:last], last
            (folder / f"{split}-{name}-00000.bin").write_bytes(part.tobytes())
            shards = [{"file": f"{split}-{name}-00000.bin", "tokens": len(part)}]
            domains[name] = counts(part) | {"shards": shards, "licences": {"MIT": counts(part) | {"sources": {}}}}
        splits[split] = counts(tokens) | {"domains": domains, "digest": f"{len(tokens):064x}"}
    lengths = [0] + [2] * (vocabulary - 1)
    write_json(
        folder / "tokens.json",
        {"dtype": "uint16", "vocabulary": vocabulary, "eot": 0, "token_bytes": lengths} | splits,
    )
    return folder


def counts(tokens: np.ndarray) -> dict[str, int]:
    return {"tokens": len(tokens), "bytes": 2 * len(tokens), "documents": len(tokens) // 17}


@pytest.fixture
def token_set(tmp_path):
    return TokenSet.open(write_tokens(tmp_path / "tokens"), "train")
