import math

import numpy as np
import pytest
import torch

from orionlm.data.loader import Evaluation
from orionlm.evals.held_out import held_out
from orionlm.evals.induction import induction_score
from orionlm.model.initialization import initialize
from orionlm.model.transformer import Transformer
from orionlm.shape import Shape

SHAPE = Shape.from_width(64, vocabulary=400, context=64)


@pytest.fixture
def windows():
    tokens = np.random.default_rng(0).integers(1, 400, (12, 65))
    targets = tokens[:, 1:].copy()
    targets[:, -1] = -1
    return Evaluation(tokens[:, :-1].copy(), targets, np.zeros((12, 64), np.int32), int((targets >= 0).sum()) * 3)


def uniform_model():
    model = Transformer(SHAPE)
    initialize(model, 0)
    torch.nn.init.zeros_(model.lm_head.weight)
    return model


def test_a_model_that_knows_nothing_has_the_loss_of_chance_and_counts_only_its_targets(windows):
    result = held_out(uniform_model(), windows, batch_size=5)
    assert result.nats_per_token == pytest.approx(math.log(400), rel=1e-5)
    assert result.bits_per_byte == pytest.approx(math.log2(400) / 3, rel=1e-5)
    assert result.tokens == 12 * 63


def test_batches_do_not_change_the_measurement(windows):
    model = Transformer(SHAPE)
    initialize(model, 1)
    one, many = held_out(model, windows, batch_size=1), held_out(model, windows, batch_size=12)
    assert one.bits_per_byte == pytest.approx(many.bits_per_byte, rel=1e-6)
    assert one.standard_error == pytest.approx(many.standard_error, rel=1e-4)


def test_each_domain_has_the_bits_of_its_own_windows(windows):
    model = Transformer(SHAPE)
    initialize(model, 1)
    sizes = [int((windows.targets_bt[rows] >= 0).sum()) for rows in (slice(0, 5), slice(5, 12))]
    parts = (("code", 5, 3 * sizes[0]), ("none", 0, 0), ("text", 7, 2 * sizes[1]))
    whole = held_out(model, windows._replace(domains=parts), batch_size=4)
    assert whole.bits_per_byte == held_out(model, windows, batch_size=4).bits_per_byte
    assert list(whole.by_domain) == ["code", "text"]
    for name, rows, size in (("code", slice(0, 5), parts[0][2]), ("text", slice(5, 12), parts[2][2])):
        alone = held_out(model, Evaluation(*(array[rows] for array in windows[:3]), size))
        assert whole.by_domain[name] == pytest.approx(alone.bits_per_byte, rel=1e-5)
    assert held_out(model, windows).by_domain == {}


def test_the_score_is_zero_without_copying_and_high_with_a_copying_head(windows):
    plain, copying = Transformer(SHAPE), Transformer(SHAPE)
    initialize(plain, 0, copying=False)
    initialize(copying, 0, copying=True)
    assert abs(induction_score(plain, windows)) < 0.02
    assert induction_score(copying, windows) > 0.1
