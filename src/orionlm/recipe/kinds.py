"""The one table of stage kinds: where each lives, and what it must be given."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType


@dataclass(frozen=True)
class Kind:
    """A stage kind: the module that runs it, and input name → the kind that input must have."""

    module: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    optional: Mapping[str, str] = field(default_factory=dict)

    def load(self) -> ModuleType:
        """Import the module: it has `Settings`, `run(settings, inputs, out, context)` and maybe `derive`."""
        return importlib.import_module(self.module)


KINDS: dict[str, Kind] = {
    "corpus": Kind("orionlm.data.corpus"),
    "tokenizer": Kind("orionlm.data.tokenizer", {"corpus": "corpus"}),
    "tokens": Kind("orionlm.data.shards", {"corpus": "corpus", "tokenizer": "tokenizer"}),
    "ladder": Kind("orionlm.ladder.stage", {"tokens": "tokens"}),
    "forecast": Kind("orionlm.ladder.forecast", {"ladder": "ladder", "tokens": "tokens"}),
    "train": Kind("orionlm.ladder.run", {"tokens": "tokens"}, optional={"forecast": "forecast"}),
    "eval": Kind("orionlm.evals.stage", {"corpus": "corpus"}, optional={"ladder": "ladder", "run": "train"}),
    "outcome": Kind("orionlm.ladder.outcome", {"forecast": "forecast", "run": "train"}),
}
