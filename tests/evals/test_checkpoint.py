from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from inference.server import tiny
from orionlm.evals.answerer import Scored, TooLong
from orionlm.evals.checkpoint import Checkpoint
from orionlm.evals.turns import Turns
from orionlm.model.checkpoint import load
from orionlm.sampling import Sampling

CONTEXT = 64
TEXT = tiny.TEXT * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The tiny checkpoint with a small context."""
    folder = tiny.make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": CONTEXT}))
    return folder


@pytest.fixture(scope="module")
def plain(folder):
    """Token ids of (context, continuation) → the log-probability and greediness, by the plain model."""
    model = load(folder)

    def score(before: list[int], after: list[int]) -> tuple[float, bool]:
        ids = torch.tensor([before + after])
        log_p_tv = model(ids[:, :-1])[0].log_softmax(-1)[-len(after) :]
        targets_t = ids[0, -len(after) :]
        return float(log_p_tv.gather(1, targets_t[:, None]).sum()), bool((log_p_tv.argmax(1) == targets_t).all())

    return score


def test_likelihoods_are_those_of_the_model(folder, plain):
    checkpoint = Checkpoint(folder)
    pairs = [("The quick brown", end) for end in (" fox", " dog", " lazy dog,", "\n")] + [("def main", "(values):")]
    found = dict(checkpoint.score(pairs))
    for index, (context, continuation) in enumerate(pairs):
        before = checkpoint.tokenizer.encode(context).ids
        after = checkpoint.tokenizer.encode(context + continuation).ids[len(before) :]
        expected, greedy = plain(before, after)
        assert found[index].log_probability == pytest.approx(expected, abs=1e-4)
        assert found[index].greedy == greedy
        assert (found[index].tokens, found[index].bytes) == (len(after), len(continuation.encode()))


def test_the_likeliest_continuation_is_greedy(folder):
    checkpoint = Checkpoint(folder)
    encode = checkpoint.tokenizer.encode
    said = {}  # prompt → what it goes on with, where the text read again is the same tokens
    for prompt in (tiny.TEXT[:n] for n in range(10, 60)):
        before = encode(prompt).ids
        [[answer]] = checkpoint.engine.answers([before], Sampling(max_tokens=3, temperature=0.0))
        if encode(prompt + answer.text).ids == [*before, *answer.tokens]:
            said[prompt] = answer.text
    assert len(said) > 3
    scored = dict(checkpoint.score([*said.items(), *((prompt, "\n#") for prompt in said)]))
    assert [scored[n].greedy for n in range(2 * len(said))] == [True] * len(said) + [False] * len(said)


@pytest.mark.parametrize("length", [1, CONTEXT - 1, CONTEXT, CONTEXT + 1, 2 * CONTEXT + 5])
def test_a_text_of_any_length_has_each_token_predicted_once(folder, plain, length):
    checkpoint = Checkpoint(folder)
    ids = checkpoint.tokenizer.encode(TEXT).ids[:length]
    text = checkpoint.tokenizer.decode(ids)
    ids = checkpoint.tokenizer.encode(text).ids
    whole = [checkpoint.end, *ids]
    expected = 0.0
    for first in range(1, len(whole), CONTEXT):  # as lm-eval: disjoint windows, the last with as much before as fits
        stop = min(first + CONTEXT, len(whole))
        expected += plain(whole[max(0, stop - CONTEXT - 1) : first], whole[first:stop])[0]
    [(_, scored)] = checkpoint.score([("", text)])
    assert scored.log_probability == pytest.approx(expected, rel=1e-5)
    assert (scored.tokens, scored.bytes) == (len(ids), len(text.encode()))


def test_a_question_that_does_not_fit_is_too_long_and_is_cut_only_when_told(folder, plain):
    long = TEXT
    [(_, found)] = Checkpoint(folder).score([(long, " fox")])
    assert isinstance(found, TooLong) and f"context has {CONTEXT}" in found.reason
    cut = Checkpoint(folder, truncate=True)
    [(_, scored)] = cut.score([(long, " fox")])
    before = cut.tokenizer.encode(long).ids
    after = cut.tokenizer.encode(long + " fox").ids[len(before) :]
    kept = (before + after)[-(CONTEXT + 1) :]
    assert scored.log_probability == pytest.approx(plain(kept[: -len(after)], after)[0], abs=1e-4)
    assert cut.digest != Checkpoint(folder).digest, "its answers are others"


def test_the_last_token_need_not_fit(folder, plain):
    checkpoint = Checkpoint(folder)
    words = checkpoint.tokenizer
    tried = 0
    for first in range(20):
        ids = words.encode(TEXT).ids[first : first + CONTEXT + 1]
        context, continuation = words.decode(ids[:-1]), words.decode(ids[-1:])
        if words.encode(context + continuation).ids == ids and words.encode(context).ids == ids[:-1]:
            tried += 1
            [(_, scored)] = checkpoint.score([(context, continuation)])
            assert isinstance(scored, Scored)
            assert scored.log_probability == pytest.approx(plain(ids[:-1], ids[-1:])[0], abs=1e-4)
            [(_, beyond)] = checkpoint.score([(words.decode(words.encode(TEXT).ids[:1]) + context, continuation)])
            assert isinstance(beyond, TooLong)
    assert tried


def test_a_question_is_read_once_for_all_its_choices(folder):
    checkpoint = Checkpoint(folder)
    context = tiny.TEXT[:100]
    pairs = [(context, f" {choice}") for choice in ("fox", "dog", "values", "main", "sum", "lazy", "brown", "if")]
    assert all(isinstance(scored, Scored) for _, scored in checkpoint.score(pairs))
    size = len(checkpoint.tokenizer.encode(context).ids)
    assert size > 2 * checkpoint.engine.pages.size
    assert checkpoint.engine.shared_tokens >= 7 * (size // checkpoint.engine.pages.size) * checkpoint.engine.pages.size
    assert checkpoint.tokens < 2 * size + 8 * (checkpoint.engine.pages.size + 4)


def test_answers_do_not_depend_on_what_is_asked_beside_them(folder):
    pairs = [(tiny.TEXT[n : n + 40], tiny.TEXT[n + 40 : n + 50]) for n in range(0, 80, 7)]
    together = dict(Checkpoint(folder).score(pairs))
    checkpoint = Checkpoint(folder)
    alone = {n: next(iter(checkpoint.score([pair])))[1] for n, pair in enumerate(pairs)}
    if checkpoint.engine.exact:
        assert together == alone
    for n in alone:
        assert together[n].log_probability == pytest.approx(alone[n].log_probability, abs=1e-4)


def test_what_was_broken_off_does_not_disturb_what_is_asked_next(folder):
    checkpoint = Checkpoint(folder, slots=2)
    pairs = [("The quick brown", end) for end in (" fox", " dog", " lazy dog,", "\n")]
    broken = checkpoint.score([(tiny.TEXT[n : n + 40], tiny.TEXT[n + 40 : n + 50]) for n in range(0, 80, 7)])
    next(broken)
    broken.close()
    assert sorted(index for index, _ in checkpoint.score(pairs)) == [0, 1, 2, 3]


def test_an_answer_ends_at_a_stop_string_at_its_length_or_where_the_context_is_full(folder):
    checkpoint = Checkpoint(folder)
    greedy = {"temperature": 0.0}
    found = dict(
        checkpoint.write(
            [
                ("The quick", Sampling(max_tokens=4, **greedy)),
                ("The quick", Sampling(max_tokens=1000, ignore_end=True, **greedy)),
                (TEXT, Sampling(max_tokens=4, **greedy)),
                ("The quick", Sampling(max_tokens=4, temperature=1.0, n=3, seed=1)),
            ]
        )
    )
    assert [one.finish for one in found[0]] == ["length"] and found[0][0].tokens == 4
    assert found[1][0].finish == "context"
    assert isinstance(found[2], TooLong)
    assert len(found[3]) == 3 and len({one.text for one in found[3]}) > 1
    whole = found[1][0].text
    stop = whole[5:7]
    [(_, [stopped])] = checkpoint.write(
        [("The quick", Sampling(max_tokens=1000, stop=(stop,), ignore_end=True, **greedy))]
    )
    assert stopped.finish == "stop" and stopped.text == whole[: whole.index(stop)]


def test_a_conversation_goes_through_the_chat_template(folder):
    checkpoint = Checkpoint(folder)
    messages = [{"role": "user", "content": "Hi"}]
    assert checkpoint.render(messages) == "User: Hi\n\nAssistant:"
    sampling = Sampling(max_tokens=5, temperature=0.0, ignore_end=True)
    found = dict(checkpoint.write([(messages, sampling), ("User: Hi\n\nAssistant:", sampling)]))
    assert found[0][0].text == found[1][0].text


def test_an_empty_text_has_no_bits(folder):
    [(_, scored)] = Checkpoint(folder).score([("", "")])
    assert (scored.log_probability, scored.tokens, scored.bytes) == (0.0, 0, 0)
    assert math.copysign(1, scored.log_probability)


def test_who_shares_a_beginning_waits_until_it_is_read():
    prompts = [[1, 2, 3, 4, 5], [1, 2, 3, 4, 6], [1, 2, 9, 9, 9], [7, 7, 7, 7, 7]]
    turns = Turns(prompts, [4, 4, 4, 4], 2)
    first, other = turns.pop(), turns.pop()
    assert (first, other) == (0, 3) and turns.pop() is None
    turns.has_read(0)
    assert [turns.pop(), turns.pop(), turns.pop()] == [1, 2, None]


def test_every_request_has_its_turn():
    prompts = [[n % 3] * 4 + [n] for n in range(30)]
    turns = Turns(prompts, [4] * 30, 2)
    seen = []
    while len(seen) < 30:
        request = turns.pop()
        assert request is not None
        seen.append(request)
        turns.has_read(request)
    assert sorted(seen) == list(range(30))
