"""Any of lm-eval's tasks on one of our checkpoints (extra `eval`). lm-eval's own command, with this model known to it:

python -m orionlm.evals.lm_eval run --model orion --model_args pretrained=DIR --tasks hellaswag

From Python: import this module, then `lm_eval.simple_evaluate("orion", model_args="pretrained=DIR", …)`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lm_eval.models  # noqa: F401  (lm-eval's own models, which it registers only where none is known)
import torch
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from orionlm.errors import UserError
from orionlm.evals.answerer import Failed, Prompt, Rendered, Scored, TooLong
from orionlm.evals.checkpoint import Checkpoint
from orionlm.sampling import Sampling
from orionlm.tasks.prompts import split

GENERATED = 256  # tokens where a task names no limit, as in lm-eval's Hugging Face backend


@register_model("orion")
class Orion(LM):
    """A question beyond the context loses its beginning, as lm-eval expects of a model; a choice that does not fit by
    itself is refused, as by its Hugging Face backend. A text without context may have any length."""

    def __init__(
        self,
        pretrained: str = "",
        device: str | None = None,
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        max_gen_toks: int = GENERATED,
        **unknown: Any,
    ) -> None:
        super().__init__()
        if not pretrained:
            raise UserError("model_args: no checkpoint; give pretrained=DIR")
        if unknown:
            raise UserError(f"model_args: {', '.join(unknown)}: the orion model takes pretrained, device, max_gen_toks")
        slots = max(64, int(batch_size) if str(batch_size).isdigit() else 0)  # batches form by themselves
        # lm-eval says cuda:0 where nothing was asked for, whether or not there is one.
        place = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
        self.checkpoint = Checkpoint(Path(pretrained), truncate=True, slots=slots, device=place)
        self.max_gen_toks = int(max_gen_toks)
        self._rendered: set[str] = set()

    @property
    def tokenizer_name(self) -> str:
        """What lm-eval's cache tells models apart by."""
        return self.checkpoint.digest

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Without `add_generation_prompt` the last message is the beginning of the model's own, and is gone on from."""
        history, begun = list(chat_history), ""
        if not add_generation_prompt:
            if not history or history[-1]["role"] != "assistant":
                raise UserError("gen_prefix: the conversation does not end with the assistant's words; give it a text")
            begun = history.pop()["content"]
        rendered = self.checkpoint.render(history) + begun
        self._rendered.add(rendered)
        return rendered

    def chat_template(self, chat_template: bool | str = False) -> str:
        return self.checkpoint.template if chat_template else ""

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        asked = [request.args for request in requests]
        pairs = [(context, split(context, continuation)) for context, continuation in asked]
        scored = self._scored([(self._known(whole, before), after) for whole, (before, after) in pairs])
        return [(one.log_probability, one.greedy) for one in scored]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        return [one.log_probability for one in self._scored([("", request.args[0]) for request in requests])]

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        asked: list[tuple[Prompt, Sampling]] = [
            (self._known(context, context), sampling(settings, self.max_gen_toks))
            for context, settings in (one.args for one in requests)
        ]
        found: list[str] = [""] * len(asked)
        for index, written in self.checkpoint.write(asked):
            assert not isinstance(written, (TooLong, Failed)), written
            found[index] = written[0].text
        return found

    def _scored(self, pairs: list[tuple[str, str]]) -> list[Scored]:
        found: dict[int, Scored] = {}
        for index, scored in self.checkpoint.score(pairs):
            if not isinstance(scored, Scored):
                raise UserError(f"a continuation of {len(pairs[index][1]):,} characters: {scored.reason}")
            found[index] = scored
        return [found[index] for index in range(len(pairs))]

    def _known(self, whole: str, text: str) -> str:
        """`text` of the context `whole`, with what lm-eval does not say of it: whether the chat template wrote it."""
        return Rendered(text) if whole in self._rendered else text


def sampling(settings: dict[str, Any], max_tokens: int) -> Sampling:
    """A task's `generation_kwargs`, as lm-eval's Hugging Face backend understands them."""
    given = dict(settings)
    until = given.pop("until", None) or []
    stop = tuple(text for text in ([until] if isinstance(until, str) else until) if text)
    limit = next(
        (given.pop(name) for name in ("max_gen_toks", "max_new_tokens", "max_tokens") if name in given), max_tokens
    )
    temperature = float(given.pop("temperature", 0.0) or 0.0)
    if given.pop("do_sample", temperature > 0) is False:
        temperature = 0.0
    top_p, top_k = float(given.pop("top_p", 1.0)), int(given.pop("top_k", 0) or 0)
    if given:
        raise UserError(f"generation_kwargs: {json.dumps(given, default=str)[:100]}: not known to the orion model")
    return Sampling(max_tokens=int(limit), temperature=temperature, top_p=top_p, top_k=top_k, stop=stop)


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
