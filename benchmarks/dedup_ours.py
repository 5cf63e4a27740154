"""Our side of `dedup.py`, the product's own path: python dedup_ours.py DOCUMENTS OUT."""

import sys
from pathlib import Path

from orionlm.data.curation.curate import curate
from orionlm.data.curation.parts import parts
from orionlm.data.curation.steps import Steps
from orionlm.data.dedup.lsh import Settings


def main(documents: str, out: str) -> None:
    Path(out).mkdir(parents=True)
    curate(parts(sorted(Path(documents).glob("*.parquet"))), Steps({}, Settings()), Path(out), workers=2)


if __name__ == "__main__":
    main(*sys.argv[1:])
