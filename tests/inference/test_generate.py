from __future__ import annotations

import pytest
import torch

from orionlm.errors import UserError
from orionlm.inference.generate import choose, generate
from orionlm.model.transformer import Transformer
from orionlm.shape import Shape

SHAPE = Shape(vocabulary=61, width=32, layers=2, heads=4, kv_heads=2, head_dim=8, mlp_width=48, context=40)


@pytest.fixture(scope="module")
def model() -> Transformer:
    torch.manual_seed(0)
    made = Transformer(SHAPE).eval().requires_grad_(False)
    for parameter in made.parameters():
        if parameter.ndim == 2:
            parameter.normal_(std=0.3)
    return made


def prompts(batch: int = 4, length: int = 7) -> torch.Tensor:
    return torch.randint(1, SHAPE.vocabulary, (batch, length), generator=torch.Generator().manual_seed(1))


def by_full_passes(model: Transformer, tokens_bt: torch.Tensor, count: int) -> torch.Tensor:
    """What greedy generation is by definition: the whole sequence again for every token."""
    for _ in range(count):
        tokens_bt = torch.cat([tokens_bt, model(tokens_bt)[:, -1].argmax(-1, keepdim=True)], dim=1)
    return tokens_bt[:, -count:]


def test_greedy_tokens_are_those_of_full_passes(model):
    new_bt = generate(model, prompts(), 20)
    assert torch.equal(new_bt, by_full_passes(model, prompts(), 20))
    assert len(new_bt.unique()) > 5


def test_a_row_does_not_depend_on_its_neighbours(model):
    together_bt = generate(model, prompts(), 12)
    for row in range(4):
        assert torch.equal(generate(model, prompts()[row : row + 1], 12)[0], together_bt[row])


def test_generation_leaves_the_weights_alone_and_follows_them(model):
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    first_bt = generate(model, prompts(), 12)
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())
    other = Transformer(SHAPE).eval().requires_grad_(False)
    generate(other, prompts(), 12)
    other.load_state_dict(model.state_dict())
    assert torch.equal(generate(other, prompts(), 12), first_bt)


def test_a_row_that_ended_is_padded_and_all_ended_stops_early(model):
    free_bt = generate(model, prompts(), 12)
    eot = int(free_bt[0, 3])
    ended_bt = generate(model, prompts(), 12, eot=eot)
    for free_t, ended_t in zip(free_bt.tolist(), ended_bt.tolist(), strict=True):
        stop = free_t.index(eot) + 1 if eot in free_t else len(free_t)
        assert ended_t[:stop] == free_t[:stop][: len(ended_t)]
        assert set(ended_t[stop:]) <= {eot}
    alone_bt = generate(model, prompts()[:1], 12, eot=eot)
    assert alone_bt.shape[1] == free_bt[0].tolist().index(eot) + 1


def test_sampling_repeats_with_its_seed_and_stays_in_the_top_k(model):
    def draw(seed: int) -> torch.Tensor:
        return generate(model, prompts(), 15, temperature=1.5, top_k=5, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    sequence_bt = torch.cat([prompts(), draw(1)], dim=1)
    best_btk = model(sequence_bt)[:, 6:-1].topk(5, dim=-1).indices
    assert (best_btk == sequence_bt[:, 7:, None]).any(-1).all()


def test_samples_have_the_frequencies_of_the_softmax():
    logits_bv = torch.tensor([0.0, 1.0, 2.0]).expand(20_000, 3)
    drawn_b = choose(logits_bv, 2.0, 0, torch.Generator().manual_seed(0))
    share_v = torch.bincount(drawn_b, minlength=3) / len(drawn_b)
    torch.testing.assert_close(share_v, (logits_bv[0] / 2).softmax(-1), atol=0.015, rtol=0)


@pytest.mark.parametrize(("length", "new", "field"), [(41, 1, "prompt"), (0, 1, "prompt"), (30, 11, "max_new_tokens")])
def test_what_does_not_fit_the_context_is_one_line(model, length, new, field):
    with pytest.raises(UserError, match=field) as caught:
        generate(model, prompts(1, length), new)
    assert "\n" not in str(caught.value)
    assert generate(model, prompts(1, 30), 10).shape == (1, 10)
