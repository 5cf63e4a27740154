from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from inference.server import tiny
from orionlm.errors import UserError

pytest.importorskip("lm_eval", reason="the extra eval is not installed")

CONTEXT = 64
TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message.role }}\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The tiny checkpoint with a small context, and a chat template that writes special tokens."""
    from tokenizers import Tokenizer

    from orionlm.evals.lm_eval import Orion

    folder = tiny.make_checkpoint(tmp_path_factory.mktemp("lm-eval") / "tiny")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": CONTEXT}))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    kept = json.loads(tokenizer.to_str())
    taken = sorted(kept["model"]["vocab"], key=kept["model"]["vocab"].get)[-2:]  # their numbers become the special ones
    kept["model"]["merges"] = [pair for pair in kept["model"]["merges"] if "".join(pair) not in taken]
    numbers = [kept["model"]["vocab"].pop(token) for token in taken]
    names = ("<|start|>", "<|end|>")
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    kept["added_tokens"] += [{"id": n, "content": name} | flags for n, name in zip(numbers, names, strict=True)]
    (folder / "tokenizer.json").write_text(json.dumps(kept))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return Orion(pretrained=str(folder))


def asked(*args: object) -> SimpleNamespace:
    return SimpleNamespace(args=args)


def test_a_rendered_conversation_is_read_with_its_special_tokens_and_the_same_plain_text_without(model):
    rendered = model.apply_chat_template([{"role": "user", "content": "The fox"}])
    assert rendered.endswith("<|start|>assistant\n")
    special = set(model.checkpoint._special.special.values()) - {model.checkpoint.end}
    chat, _ = model.checkpoint._prompt(model._known(rendered, rendered))
    assert sum(token in special for token in chat) == 3
    plain, _ = model.checkpoint._prompt(str(rendered))
    assert not special & set(plain)
    [[one]] = [model.loglikelihood([asked(rendered, "yes")])]
    [[other]] = [model.loglikelihood([asked(rendered + " ", "yes")])]
    assert one != other


def test_white_space_at_the_end_of_a_context_belongs_to_the_continuation(model):
    one, other = model.loglikelihood([asked("The quick brown ", "fox"), asked("The quick brown", " fox")])
    assert one == other


def test_a_begun_answer_is_gone_on_from(model):
    begun = [{"role": "user", "content": "The fox"}, {"role": "assistant", "content": "Answer:"}]
    rendered = model.apply_chat_template(begun, add_generation_prompt=False)
    assert rendered == model.apply_chat_template(begun[:1]) + "Answer:"
    with pytest.raises(UserError, match="gen_prefix: the conversation does not end with the assistant"):
        model.apply_chat_template(begun[:1], add_generation_prompt=False)


def test_a_text_without_context_may_be_longer_than_the_models_and_a_choice_may_not(model):
    long = tiny.TEXT * 3
    [(without, _)] = model.loglikelihood([asked("", long)])
    assert [without] == model.loglikelihood_rolling([asked(long)])
    [(short, _)] = model.loglikelihood([asked(long, " fox")])
    assert short < 0, "a context loses its beginning"
    with pytest.raises(UserError, match="a continuation of .* the model's context has 64"):
        model.loglikelihood([asked("The fox", long)])
