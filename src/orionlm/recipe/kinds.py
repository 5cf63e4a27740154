"""The one table of stage kinds: where each lives, and what it must be given."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType


@dataclass(frozen=True)
class Kind:
    """A stage kind: the module that runs it, and input name → the kinds that input may have."""

    module: str
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def load(self) -> ModuleType:
        """Import the module: it has `Settings`, `run(settings, inputs, out, context)` and maybe `derive`."""
        return importlib.import_module(self.module)


CORPUS = ("corpus", "curate")  # a curated corpus is a corpus
TOKENS, LADDER, RUN = ("tokens",), ("ladder",), ("train",)
FORECAST, MIXTURE = ("forecast",), ("mixture",)

KINDS: dict[str, Kind] = {
    "corpus": Kind("orionlm.data.corpus"),
    "curate": Kind("orionlm.data.curation.curate", {"corpus": CORPUS}),
    "tokenizer": Kind("orionlm.data.tokenizer", {"corpus": CORPUS}),
    "tokens": Kind("orionlm.data.shards", {"corpus": CORPUS, "tokenizer": ("tokenizer",)}),
    "mixture": Kind("orionlm.data.mixing.mixture", {"tokens": TOKENS}),
    "ladder": Kind("orionlm.ladder.stage", {"tokens": TOKENS}, optional={"mixture": MIXTURE}),
    "forecast": Kind("orionlm.ladder.forecast", {"ladder": LADDER, "tokens": TOKENS}),
    "train": Kind("orionlm.ladder.run", {"tokens": TOKENS}, optional={"forecast": FORECAST, "mixture": MIXTURE}),
    "gain": Kind("orionlm.gain.stage", {"baseline": LADDER, "lever": LADDER}),
    "eval": Kind("orionlm.evals.stage", {"corpus": CORPUS}, optional={"ladder": LADDER, "run": RUN}),
    "outcome": Kind("orionlm.ladder.outcome", {"forecast": FORECAST, "run": RUN}),
}
