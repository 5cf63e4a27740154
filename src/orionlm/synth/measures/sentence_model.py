"""Where does a text lie for a static sentence model (extra `embed`)? From a folder on this machine, never fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from orionlm.errors import UserError
from orionlm.synth.measures.embedding import unit

Array = np.ndarray


class SentenceModel:
    """A model2vec model (Tulkens & van Dongen 2024): the mean of a text's static token vectors, to unit length."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir() or not any(folder.rglob("tokenizer.json")):
            raise UserError(
                f"embed = {folder}: give a folder with a model2vec model (tokenizer.json, model.safetensors)"
            )
        try:
            from model2vec import StaticModel
        except ImportError as error:
            raise UserError(f"embed = {folder}: needs the extra embed: pip install 'orion-lm[embed]'") from error
        try:
            self._model = StaticModel.from_pretrained(folder)  # a folder that is there is read, nothing is asked for
        except Exception as error:  # what it raises is safetensors', tokenizers' and its own
            raise UserError(f"embed = {folder}: not a model2vec model that can be read ({error})") from error

    def transform(self, texts: Sequence[str]) -> Array:
        if not texts:
            return np.zeros((0, self._model.embedding.shape[1]))
        found = self._model.encode(list(texts), max_length=None, use_multiprocessing=False)
        return unit(np.nan_to_num(np.asarray(found, float)))
