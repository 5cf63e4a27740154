from __future__ import annotations

import pytest
import torch

from orionlm.errors import UserError
from orionlm.model.checkpoint import WEIGHTS, load, save
from orionlm.model.transformer import Transformer
from orionlm.shape import Shape

EOT = 0


def shape(kv_heads: int = 4, tied: bool = True) -> Shape:
    return Shape(
        vocabulary=97, width=48, layers=2, heads=4, kv_heads=kv_heads, head_dim=16, mlp_width=80, context=32, tied=tied
    )


def model(shape: Shape) -> Transformer:
    """Random in every parameter: norms too, and nothing zero that could hide a part of the network."""
    torch.manual_seed(0)
    made = Transformer(shape).eval().requires_grad_(False)
    for parameter in made.parameters():
        if parameter.ndim == 2:
            parameter.normal_(std=0.2)
        else:
            parameter.uniform_(0.5, 1.5)
    return made


def tokens(shape: Shape, batch: int = 3, length: int = 24) -> torch.Tensor:
    return torch.randint(0, shape.vocabulary, (batch, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_logits_equal_those_of_transformers_on_the_same_folder(tmp_path, kv_heads, tied):
    transformers = pytest.importorskip("transformers")
    made = model(shape(kv_heads, tied))
    save(tmp_path, made.state_dict(), made.shape, EOT)
    theirs = transformers.Qwen3ForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    tokens_bt = tokens(made.shape)
    with torch.no_grad():
        expected_btv = theirs(input_ids=tokens_bt).logits
    assert expected_btv.std() > 0.5
    torch.testing.assert_close(made(tokens_bt), expected_btv, atol=1e-4, rtol=0)


def test_a_saved_model_comes_back_with_the_same_logits(tmp_path):
    made = model(shape(kv_heads=2))
    save(tmp_path, made.state_dict(), made.shape, EOT)
    assert load(tmp_path).shape == made.shape
    torch.testing.assert_close(load(tmp_path)(tokens(made.shape)), made(tokens(made.shape)), atol=0, rtol=0)


def test_no_position_sees_a_later_one():
    made = model(shape())
    tokens_bt = tokens(made.shape)
    changed_bt = tokens_bt.clone()
    changed_bt[:, 10:] = (changed_bt[:, 10:] + 1) % made.shape.vocabulary
    before, after = made(tokens_bt), made(changed_bt)
    torch.testing.assert_close(before[:, :10], after[:, :10], atol=1e-6, rtol=0)
    assert (before[:, 10:] - after[:, 10:]).abs().amax() > 0.1


def test_a_document_is_read_as_if_it_stood_alone():
    made = model(shape(kv_heads=2))
    tokens_bt = tokens(made.shape)
    documents_bt = (torch.arange(tokens_bt.shape[1]) >= 9).int().expand_as(tokens_bt)
    packed_btv, alone_btv = made(tokens_bt, documents_bt), made(tokens_bt[:, 9:])
    # Rotary positions are relative, so where the document lies in the window does not matter.
    torch.testing.assert_close(packed_btv[:, 9:], alone_btv, atol=1e-4, rtol=0)
    assert (made(tokens_bt)[:, 9:] - alone_btv).abs().amax() > 0.1


def test_a_damaged_header_is_one_line_naming_the_folder(tmp_path):
    made = model(shape())
    save(tmp_path, made.state_dict(), made.shape, EOT)
    content = bytearray((tmp_path / WEIGHTS).read_bytes())
    content[12] ^= 0xFF
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(UserError) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_one_flipped_byte_in_published_weights_is_one_line_naming_the_file(tmp_path):
    from orionlm.artifact import publish

    made, partial = model(shape()), tmp_path / "run.partial"
    partial.mkdir()
    save(partial, made.state_dict(), made.shape, EOT)
    publish(partial, tmp_path / "run", kind="train", settings={}, inputs={}, seed=0, fingerprint="")
    load(tmp_path / "run")
    content = bytearray((tmp_path / "run" / WEIGHTS).read_bytes())
    content[-5] ^= 0x01
    (tmp_path / "run" / WEIGHTS).write_bytes(content)
    with pytest.raises(UserError) as caught:
        load(tmp_path / "run")
    assert WEIGHTS in str(caught.value) and "\n" not in str(caught.value)
