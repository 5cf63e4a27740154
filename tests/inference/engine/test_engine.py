from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.inference.engine import cpu
from orionlm.inference.engine.engine import Engine
from orionlm.inference.engine.sample import Answer
from orionlm.model.transformer import Transformer
from orionlm.sampling import Sampling
from orionlm.shape import Shape

CONTEXT, VOCABULARY = 80, 97


def made(kv_heads: int = 2, head_dim: int = 32) -> Transformer:
    torch.manual_seed(0)
    shape = Shape(
        vocabulary=VOCABULARY, width=48, layers=2, heads=4, kv_heads=kv_heads, head_dim=head_dim, mlp_width=64,
        context=CONTEXT,
    )  # fmt: skip
    model = Transformer(shape).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.normal_(std=0.25)
    return model


MODELS = {kv_heads: made(kv_heads) for kv_heads in (1, 2, 4)}
TEXT = [bytes([32 + token % 90]) for token in range(VOCABULARY)]
# Whether the passes are compiled: both must hold, whichever this machine uses.
PASSES = pytest.mark.parametrize("compiled", [True, False])


def prompt_of(length: int, seed: int = 0) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(VOCABULARY) for _ in range(length)]


def full_pass(model: Transformer, tokens: list[int]) -> torch.Tensor:
    return model(torch.tensor([tokens]))[0].log_softmax(-1)


def assert_true_to_full_pass(model: Transformer, prompt: list[int], answer: Answer) -> None:
    if answer.tokens:
        log_p_tv = full_pass(model, prompt + answer.tokens)[len(prompt) - 1 : -1]
        expected = log_p_tv[torch.arange(len(answer.tokens)), torch.tensor(answer.tokens)]
        torch.testing.assert_close(torch.tensor(answer.logprobs), expected, atol=1e-4, rtol=0)


def test_the_compiled_passes_are_what_is_tested_where_there_is_a_compiler():
    import shutil

    assert cpu.available(MODELS[2].shape) == bool(shutil.which("g++") or shutil.which("clang++"))


@PASSES
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_greedy_tokens_are_those_of_full_passes(compiled, kv_heads):
    model = MODELS[kv_heads]
    for length in (1, 15, 16, 17, 40):
        tokens = prompt_of(length)
        for _ in range(12):
            tokens = [*tokens, int(full_pass(model, tokens)[-1].argmax())]
        [[answer]] = Engine(model, slots=2, compiled=compiled).answers(
            [prompt_of(length)], Sampling(max_tokens=12, temperature=0)
        )
        assert answer.tokens == tokens[length:]
        assert answer.finish == "length"


ARRIVALS = st.lists(
    st.tuples(
        st.integers(1, 50),  # prompt length
        st.integers(0, 3),  # its seed: equal beginnings are shared
        st.integers(0, 30),  # max_tokens
        st.sampled_from([0.0, 0.7, 1.3]),
        st.integers(1, 3),  # n
        st.integers(0, 12),  # the step at which it arrives
        st.one_of(st.none(), st.integers(0, 12)),  # how many steps later it is cancelled
        st.booleans(),  # whether its prompt is scored
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(ARRIVALS, st.booleans(), st.sampled_from([1, 3, 8]), st.sampled_from([4, 17, 64]), st.sampled_from([96, 640]))
def test_log_probabilities_are_those_of_a_full_pass_whoever_comes_and_goes(arrivals, compiled, slots, rows, cache):
    model = MODELS[2]
    engine = Engine(model, slots=slots, cache_tokens=cache, rows=rows, compiled=compiled)
    answers: dict[int, list[Answer]] = {}
    prompts: dict[int, list[int]] = {}
    scores: dict[int, list[float | None]] = {}
    cancels: dict[int, int] = {}
    step = 0
    while step <= 12 or engine.busy:
        for length, seed, most, temperature, n, arrival, cancel, scored in arrivals:
            if arrival == step:
                asked = Sampling(max_tokens=most, temperature=temperature, n=n, alternatives=2, top_p=0.9)
                number = engine.submit(prompt_of(length, seed), asked, 1 if scored else None)
                answers[number] = [Answer() for _ in range(n)]
                prompts[number] = prompt_of(length, seed)
                if cancel is not None:
                    cancels[number] = step + cancel
        for number, when in cancels.items():
            if when == step:
                engine.cancel(number)
        for event in engine.step():
            answer = answers[event.request][event.sample]
            assert answer.finish is None, "an ended answer was told of again"
            answer.add(event)
            if event.prompt_logprobs is not None:
                scores[event.request] = event.prompt_logprobs
            for token, logprob, top in zip(event.tokens, event.logprobs, event.top, strict=True):
                assert len(top) == 2
                assert top[0][1] >= max(top[1][1], logprob)
                assert logprob <= dict(top).get(token, logprob)
        step += 1
        assert step < 2000
    for number, samples in answers.items():
        for answer in samples:
            assert answer.finish in ("length", "cancelled")
            assert answer.finish == "length" or number in cancels
            assert_true_to_full_pass(model, prompts[number], answer)
    for number, logprobs in scores.items():
        prompt = prompts[number]
        expected = full_pass(model, prompt)[torch.arange(len(prompt) - 1), torch.tensor(prompt[1:], dtype=torch.int64)]
        assert logprobs[0] is None
        torch.testing.assert_close(torch.tensor(logprobs[1:]), expected, atol=1e-4, rtol=0)
    assert engine.running == engine.waiting == 0
    assert engine.pages.free == engine.pages.count
    assert engine._promised == 0
    assert not any(engine.pages.users)


def test_an_answer_is_the_same_to_the_last_bit_whatever_else_is_in_the_batch():
    model = MODELS[2]
    asked = Sampling(max_tokens=25, temperature=1.1, top_k=40, seed=5, alternatives=3)
    engine = Engine(model, slots=16)
    if not engine.exact:
        pytest.skip("without a compiler products may add up in another order")
    prompts = [prompt_of(length, length) for length in range(1, 50, 3)]
    together = engine.answers(prompts, asked)
    alone = [Engine(model, slots=1, rows=7).answers([prompt], asked)[0] for prompt in prompts]
    assert together == alone
    known = engine.answers(prompts, asked)  # their prompts now come from the cache
    assert engine.shared_tokens > 0
    assert known == together


def test_a_seed_repeats_an_answer_samples_differ_and_no_seed_draws_one():
    engine = Engine(MODELS[2], slots=8)

    def draw(**asked: int | None) -> list[list[int]]:
        [samples] = engine.answers([prompt_of(9)], Sampling(max_tokens=20, temperature=1.5, n=3, **asked))  # type: ignore[arg-type]
        return [answer.tokens for answer in samples]

    assert draw(seed=1) == draw(seed=1)
    assert draw(seed=1) != draw(seed=2)
    assert len(set(map(tuple, draw(seed=1)))) == 3
    assert draw() != draw()


@PASSES
def test_sampled_logprobs_are_those_of_the_distribution_drawn_from(compiled):
    model, temperature, top_k = MODELS[2], 0.8, 5
    engine = Engine(model, slots=4, compiled=compiled)
    asked = Sampling(max_tokens=30, temperature=temperature, top_k=top_k, alternatives=0, n=2, seed=1)
    for answer in engine.answers([prompt_of(9)], asked)[0]:
        log_p_tv = full_pass(model, prompt_of(9) + answer.tokens)[8:-1]
        kept_tv = log_p_tv / temperature
        kept_tv[kept_tv < kept_tv.topk(top_k).values[:, -1:]] = -torch.inf
        expected = kept_tv.log_softmax(-1)[torch.arange(30), torch.tensor(answer.tokens)]
        torch.testing.assert_close(torch.tensor(answer.sampled_logprobs), expected, atol=1e-4, rtol=0)


@PASSES
def test_equal_beginnings_are_read_once(compiled):
    engine = Engine(MODELS[2], slots=4, compiled=compiled)
    asked = Sampling(max_tokens=4, temperature=0)
    first = engine.answers([prompt_of(50)], asked)
    read = engine.prompt_tokens
    assert read == 50
    assert engine.answers([prompt_of(50)], asked) == first
    assert engine.prompt_tokens - read == 2, "three full pages of 16 are known; their rest is read"
    engine.answers([prompt_of(50)], Sampling(max_tokens=4, n=4))
    assert engine.prompt_tokens - read == 2 + 4 * 2


def test_what_the_cache_cannot_hold_any_longer_is_read_again():
    engine = Engine(MODELS[2], slots=1, cache_tokens=80)
    asked = Sampling(max_tokens=1, temperature=0)
    first = engine.answers([prompt_of(70, 1)], asked)
    engine.answers([prompt_of(70, 2)], asked)
    assert engine.answers([prompt_of(70, 1)], asked) == first
    assert engine.shared_tokens < 64


def test_a_cancelled_request_frees_its_slot_at_once_for_the_next():
    engine = Engine(MODELS[2], slots=1)
    first = engine.submit(prompt_of(5), Sampling(max_tokens=50))
    second = engine.submit(prompt_of(6), Sampling(max_tokens=3))
    engine.step()
    engine.cancel(first)
    assert engine.running == 0
    events = engine.step()
    assert [(event.request, event.finish) for event in events] == [(first, "cancelled"), (second, None)]
    engine.cancel(first)
    engine.cancel(10_000)
    while engine.busy:
        assert all(event.request == second for event in engine.step())


def test_stop_strings_end_the_text_before_them_however_tokens_cut_them():
    model = MODELS[2]
    engine = Engine(model, text=TEXT, slots=4)
    [[free]] = engine.answers([prompt_of(9)], Sampling(max_tokens=40, temperature=0))
    stop = free.text[10:13]
    place = free.text.index(stop)
    [[stopped]] = engine.answers([prompt_of(9)], Sampling(max_tokens=40, temperature=0, stop=("never", stop)))
    assert stopped.finish == "stop"
    assert stopped.text == free.text[:place]
    assert stopped.tokens == free.tokens[: place + 3]


def test_the_end_of_text_ends_an_answer_unless_told_to_go_on():
    model = MODELS[2]
    [[free]] = Engine(model, slots=1).answers([prompt_of(9)], Sampling(max_tokens=20, temperature=0))
    end = free.tokens[7]
    engine = Engine(model, slots=1, ends=(end,))
    [[ended]] = engine.answers([prompt_of(9)], Sampling(max_tokens=20, temperature=0))
    assert ended.tokens == free.tokens[: free.tokens.index(end) + 1]
    assert ended.finish == "stop"
    [[on]] = engine.answers([prompt_of(9)], Sampling(max_tokens=20, temperature=0, ignore_end=True))
    assert on.tokens == free.tokens
    spoken = Engine(model, text=TEXT, slots=1, ends=(end,))
    [[ended]] = spoken.answers([prompt_of(9)], Sampling(max_tokens=20, temperature=0))
    assert ended.text == b"".join(TEXT[token] for token in ended.tokens[:-1]).decode(), "the end itself has no text"


@PASSES
def test_continuations_are_scored_as_by_a_full_pass_with_their_shared_prompt_read_once(compiled):
    model = MODELS[2]
    engine = Engine(model, slots=4, compiled=compiled)
    prompt, continuations = prompt_of(40), [prompt_of(length, length) for length in (1, 5, 30)]
    engine.score([(prompt, continuations[0])])
    for continuation, found in zip(continuations, engine.score([(prompt, c) for c in continuations]), strict=True):
        log_p_tv = full_pass(model, prompt + continuation)[39:-1]
        expected = log_p_tv[torch.arange(len(continuation)), torch.tensor(continuation)]
        torch.testing.assert_close(torch.tensor(found), expected, atol=1e-4, rtol=0)
    assert engine.shared_tokens == 3 * 32
    assert engine.score([(prompt, [])]) == [[]]


@PASSES
def test_a_prompt_that_is_only_scored_may_be_one_longer_than_the_context_even_where_that_fills_the_cache(compiled):
    model = MODELS[2]
    engine = Engine(model, slots=1, compiled=compiled)
    tokens = prompt_of(engine.context + 1)
    log_p_tv = full_pass(model, tokens[:-1])
    expected = log_p_tv[torch.arange(engine.context), torch.tensor(tokens[1:])]
    asked = Sampling(max_tokens=0, alternatives=0)
    engine.submit(tokens, asked, 1)
    events = [event for _ in range(100) for event in engine.step()]  # not `while busy`: it must not wait for ever
    assert [event.finish for event in events] == ["length"]
    torch.testing.assert_close(torch.tensor(events[0].prompt_logprobs[1:]), expected, atol=1e-4, rtol=0)
    assert engine.pages.free == engine.pages.count and engine.prompt_tokens == engine.context
    for prompt, score_from in (([*tokens, 1], 1), (tokens, None), (tokens, len(tokens))):
        with pytest.raises(UserError, match="context"):
            engine.submit(prompt, asked, score_from)


@pytest.mark.parametrize(
    ("prompt", "asked", "line"),
    [
        ([], {}, "prompt of 0 tokens"),
        ([1] * 81, {}, "context of 80"),
        ([1] * 70, {"max_tokens": 11}, "leaves 10"),
        ([97], {}, "between 0 and 96"),
        ([-1], {}, "between 0 and 96"),
        ([1], {"stop": ("x",)}, "no tokenizer"),
        ([1] * 40, {"max_tokens": 30}, "cache of 64 tokens"),
    ],
)
def test_what_this_model_cannot_be_asked_is_one_line_and_leaves_the_engine_working(prompt, asked, line):
    engine = Engine(MODELS[2], slots=2, cache_tokens=64)
    with pytest.raises(UserError, match=line) as caught:
        engine.submit(prompt, Sampling(**{"max_tokens": 1, **asked}))
    assert "\n" not in str(caught.value)
    assert not engine.busy
    assert len(engine.answers([[1]], Sampling(max_tokens=3))[0][0].tokens) == 3


def test_shapes_the_compiled_passes_do_not_serve_are_served_all_the_same():
    model = made(head_dim=8)
    engine = Engine(model, slots=2)
    assert not engine.exact
    [[answer]] = engine.answers([prompt_of(20)], Sampling(max_tokens=20, alternatives=0))
    assert_true_to_full_pass(model, prompt_of(20), answer)
