"""Is it more like a user's good examples, or like their bad ones? A logistic regression on hashed byte 5-grams.

The score of a text is the mean weight of its 5-grams: on the tasks tried this told texts apart as well as words and
pairs of words, at many times the speed and in any language (docs/NOTES.md). `fitting.py` makes a model; one whose
held-out AUC is not credibly above .5 has nothing to filter by, and is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from orionlm.artifact import replacing, write_json
from orionlm.data.documents import Document
from orionlm.data.filters import KEPT, Check, Verdict
from orionlm.errors import UserError

SCHEMA = 1
NGRAM, BITS = 5, 18
PIECES, PIECE = 4, 1000
_MIX = np.uint64(0x9E3779B97F4A7C15)
_UNIT = 1 << 24  # weights are added as whole numbers: the sum is the same in every order and batch


class Settings(BaseModel):
    """`model`: the folder that fitting left. Documents stay where the probability of being good is at least `threshold`
    (.5 where nothing is given), or in the best `share` of texts like the bad examples: a quantile of their held-out
    scores, known since the fit. With a plain sample of the corpus as bad examples that is the best share of the corpus.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    domains: tuple[str, ...] = ()
    model: str
    threshold: float | None = Field(default=None, ge=0, le=1)
    share: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> Settings:
        if self.threshold is not None and self.share is not None:
            raise ValueError("give threshold or share, not both")
        return self


def identity(settings: Settings) -> dict[str, Any]:
    """What the model is; UserError where it may not be used."""
    model = load(Path(settings.model))
    if not model.usable:
        raise UserError(f"classifier.model: {settings.model}: {model.finding}; give more, or clearer, examples")
    return model.known()


def checker(settings: Settings) -> Check:
    identity(settings)
    model = load(Path(settings.model))
    threshold = 0.5 if settings.threshold is None else settings.threshold
    if settings.share is not None:
        threshold = float(np.quantile(model.bad_scores, 1 - settings.share))

    def judge(probability: float) -> Verdict:
        if probability >= threshold:
            return KEPT
        return Verdict("unlike the good examples", f"probability {probability:.3f}, asked {threshold:.3f}")

    def check(documents: Sequence[Document]) -> list[Verdict]:
        return list(map(judge, model.probabilities([document.text for document in documents])))

    return check


@dataclass(frozen=True)
class Model:
    """`auc`: value, low, high on held-out documents; `bad_scores`: 101 quantiles of the bad ones' held-out scores."""

    weights: npt.NDArray[np.float32]
    intercept: float
    auc: tuple[float, float, float]
    bad_scores: list[float]
    good: int
    bad: int

    @property
    def usable(self) -> bool:
        return self.auc[1] > 0.5

    @property
    def finding(self) -> str:
        value, low, high = self.auc
        credibly = "credibly" if self.usable else "not credibly"
        return (
            f"the held-out AUC is {value:.3f} ({low:.3f} to {high:.3f}; {self.good:,} good and {self.bad:,} bad "
            f"documents), {credibly} above .5"
        )

    def known(self) -> dict[str, Any]:
        """Everything but the weights, and their digest."""
        value, low, high = self.auc
        return {
            "schema": SCHEMA,
            "ngram": NGRAM,
            "bits": BITS,
            "intercept": self.intercept,
            "auc": {"value": value, "low": low, "high": high},
            "usable": self.usable,
            "bad_scores": self.bad_scores,
            "good": self.good,
            "bad": self.bad,
            "weights": hashlib.sha256(self.weights.tobytes()).hexdigest(),
        }

    def probabilities(self, texts: Sequence[str]) -> list[float]:
        """Of being good."""
        fixed = np.rint(self.weights.astype(np.float64) * _UNIT).astype(np.int64)
        found = []
        for text in texts:
            features = hashed(text)
            mean = int(fixed[features].sum()) / _UNIT / max(len(features), 1)
            found.append(1 / (1 + math.exp(-max(-500.0, min(500.0, mean + self.intercept)))))
        return found


def hashed(text: str) -> npt.NDArray[np.int64]:
    """The hashed 5-grams of a text's UTF-8 bytes; of one above 4,000 characters those of four pieces spread over it."""
    if len(text) > PIECES * PIECE:
        step = (len(text) - PIECE) / (PIECES - 1)
        begins = [round(step * piece) for piece in range(PIECES)]
        text = "\n".join(text[begin : begin + PIECE] for begin in begins)
    held = np.frombuffer(text.encode(), np.uint8).astype(np.uint64)
    if len(held) < NGRAM:
        return np.zeros(0, np.int64)
    packed = held[NGRAM - 1 :].copy()
    for back in range(1, NGRAM):
        packed |= held[NGRAM - 1 - back : len(held) - back] << np.uint64(8 * back)
    return ((packed * _MIX) >> np.uint64(64 - BITS)).astype(np.int64)


def save(model: Model, folder: Path) -> None:
    """Writes weights.npz and model.json: numbers alone, nothing that could be run."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "weights.npz") as file:
        np.savez_compressed(file, weights=model.weights)
    write_json(folder / "model.json", model.known())


def load(folder: Path) -> Model:
    """The model in a folder; UserError where there is none, or not a whole one."""
    try:
        known = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if known["schema"] != SCHEMA or (known["ngram"], known["bits"]) != (NGRAM, BITS):
            raise UserError(f"classifier.model: {folder} was made by another version; fit it again")
        with np.load(folder / "weights.npz", allow_pickle=False) as held:
            weights = held["weights"]
        if weights.dtype != np.float32 or hashlib.sha256(weights.tobytes()).hexdigest() != known["weights"]:
            raise ValueError("the weights are not those that were saved")
        auc = (float(known["auc"]["value"]), float(known["auc"]["low"]), float(known["auc"]["high"]))
        scores = [float(score) for score in known["bad_scores"]]
        return Model(weights, float(known["intercept"]), auc, scores, int(known["good"]), int(known["bad"]))
    except FileNotFoundError:
        raise UserError(f"classifier.model: no model in {folder}; make one with orion data fit") from None
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"classifier.model: {folder} holds no whole model ({error}); fit it again") from None
