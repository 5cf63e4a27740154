import pytest
import torch

from orionlm.model.transformer import Transformer
from orionlm.shape import Shape
from orionlm.train.optimizer import OptimizerSettings, build


def groups(width, **settings):
    model = Transformer(Shape.from_width(width, vocabulary=300, context=16))
    masters = {name: torch.nn.Parameter(p.detach().clone()) for name, p in model.named_parameters()}
    return masters, build(masters, width, OptimizerSettings(**settings))


def rate_of(optimizers, parameter):
    return next(g["peak"] for o in optimizers for g in o.param_groups if any(p is parameter for p in g["params"]))


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_every_parameter_belongs_to_exactly_one_group(name):
    masters, optimizers = groups(64, name=name)
    owned = [id(p) for o in optimizers for g in o.param_groups for p in g["params"]]
    assert sorted(owned) == sorted(id(p) for p in masters.values())


def test_adamw_rate_of_matrices_falls_as_one_over_width_and_that_of_embeddings_stays():
    for kind, power in (("model.layers.0.mlp.up_proj.weight", 1), ("model.embed_tokens.weight", 0)):
        narrow, wide = (rate_of(optimizers, masters[kind]) for masters, optimizers in (groups(64), groups(128)))
        assert narrow / wide == pytest.approx(2**power)


def test_muon_rate_of_matrices_stays_over_widths():
    kind = "model.layers.0.mlp.up_proj.weight"
    narrow, wide = (rate_of(o, m[kind]) for m, o in (groups(64, name="muon"), groups(128, name="muon")))
    assert narrow == wide
