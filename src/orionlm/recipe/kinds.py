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


CORPUS = ("corpus", "curate", "subset", "augment", "examples")  # all of them are corpora
TOKENS, LADDER, RUN = ("tokens",), ("ladder",), ("train",)
TOKENIZER, WRITTEN, ALIGNED = ("tokenizer",), ("generate",), ("align",)
FORECAST, MIXTURE = ("forecast",), ("mixture",)

KINDS: dict[str, Kind] = {
    "corpus": Kind("orionlm.data.corpus"),
    "curate": Kind("orionlm.data.curation.curate", {"corpus": CORPUS}),
    "subset": Kind("orionlm.data.subset", {"corpus": CORPUS}),
    "generate": Kind("orionlm.synth.generate", {"corpus": CORPUS}, optional={"run": RUN, "aligned": ALIGNED}),
    "align": Kind("orionlm.synth.gate.align", {"rows": WRITTEN, "corpus": CORPUS}),
    "augment": Kind("orionlm.synth.augment", {"corpus": CORPUS, "rows": ALIGNED}),
    "tokenizer": Kind("orionlm.data.tokenizer", {"corpus": CORPUS}),
    "tokens": Kind("orionlm.data.shards", {"corpus": CORPUS, "tokenizer": TOKENIZER}),
    "mixture": Kind("orionlm.data.mixing.mixture", {"tokens": TOKENS}),
    "ladder": Kind("orionlm.ladder.stage", {"tokens": TOKENS}, optional={"mixture": MIXTURE}),
    "forecast": Kind("orionlm.ladder.forecast", {"ladder": LADDER, "tokens": TOKENS}),
    "train": Kind("orionlm.ladder.run", {"tokens": TOKENS}, optional={"forecast": FORECAST, "mixture": MIXTURE}),
    "gain": Kind("orionlm.gain.stage", {"baseline": LADDER, "lever": LADDER}),
    "students": Kind(
        "orionlm.synth.students",
        {"corpus": CORPUS, "rows": WRITTEN, "tokenizer": TOKENIZER},
        optional={"aligned": ALIGNED, "ladder": LADDER, "run": RUN},
    ),
    "examples": Kind("orionlm.synth.examples"),
    "specialists": Kind(
        "orionlm.synth.specialists", {"corpus": CORPUS, "augmented": ("augment",), "tokenizer": TOKENIZER}
    ),
    "probe": Kind(
        "orionlm.synth.probe", {"corpus": CORPUS, "tokenizer": TOKENIZER}, optional={"ladder": LADDER, "run": RUN}
    ),
    "drill": Kind("orionlm.synth.drill", {"corpus": CORPUS, "tokenizer": TOKENIZER}),
    "eval": Kind("orionlm.evals.stage", {"corpus": CORPUS}, optional={"ladder": LADDER, "run": RUN}),
    "outcome": Kind("orionlm.ladder.outcome", {"forecast": FORECAST, "run": RUN}),
}
