"""A model on disk: safetensors, a Hugging Face `config.json`, its tokenizer. `transformers` loads the same folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from orionlm.artifact import file_digest, open_artifact, write_json
from orionlm.errors import UserError
from orionlm.model.transformer import Transformer
from orionlm.shape import Shape

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"


def to_config(shape: Shape, eot: int) -> dict[str, Any]:
    """The shape as Hugging Face's `Qwen3Config` names it."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "intermediate_size": shape.mlp_width,
        "max_position_embeddings": shape.context,
        "rope_theta": shape.rope_theta,
        "rms_norm_eps": shape.norm_epsilon,
        "tie_word_embeddings": shape.tied,
        "hidden_act": "silu",
        "attention_bias": False,
        "dtype": "float32",
        "bos_token_id": eot,
        "eos_token_id": eot,
    }


def from_config(config: Mapping[str, Any]) -> Shape:
    """The shape that a `config.json` describes. Raises UserError for what this transformer is not."""
    if config.get("model_type") != "qwen3":
        raise UserError(f"model_type = {config.get('model_type')!r}: only 'qwen3' checkpoints can be loaded")
    if config.get("attention_bias") or config.get("use_sliding_window"):
        raise UserError(
            "attention_bias or use_sliding_window is on: this transformer has neither; use a plain Qwen3 model"
        )
    rope = config.get("rope_parameters") or {}
    if rope.get("rope_type", "default") != "default" or config.get("rope_scaling"):
        raise UserError("rope scaling is on: this transformer has none; use a checkpoint without it")
    try:
        return Shape(
            vocabulary=config["vocab_size"],
            width=config["hidden_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            kv_heads=config["num_key_value_heads"],
            head_dim=config["head_dim"],
            mlp_width=config["intermediate_size"],
            context=config["max_position_embeddings"],
            rope_theta=float(config.get("rope_theta") or rope["rope_theta"]),
            norm_epsilon=config["rms_norm_eps"],
            tied=bool(config.get("tie_word_embeddings", False)),
        )
    except KeyError as missing:
        raise UserError(f"config.json: {missing.args[0]} is missing; give a complete Qwen3 configuration") from None


def save(folder: Path, weights: Mapping[str, Tensor], shape: Shape, eot: int) -> None:
    """Write fp32 weights by parameter name, and the configuration. A tied head is stored once."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in weights.items()}
    if shape.tied:
        tensors.pop("lm_head.weight", None)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    write_json(folder / CONFIG, to_config(shape, eot))


def revision(folder: Path) -> str:
    """A digest (sha256, hex) of what answers depend on: weights, configuration, tokenizer and chat template."""
    digest = hashlib.sha256()
    for name in (WEIGHTS, CONFIG, TOKENIZER, "tokenizer_config.json", "chat_template.jinja"):
        if (folder / name).is_file():
            digest.update(f"{name} {file_digest(folder / name)}\n".encode())
    return digest.hexdigest()


def load(folder: Path, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Transformer:
    """The model in `folder`, verified against its manifest if it is an artifact of ours. In evaluation mode."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if (folder / "manifest.json").exists():
        open_artifact(folder, kind="train")
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(
                f"{folder}: no {name}; give the folder of a trained model, such as runs/NAME/artifacts/STAGE"
            )
    try:
        shape = from_config(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        tensors = load_file(folder / WEIGHTS)
    except UserError:
        raise
    except (SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{folder}: not a readable checkpoint ({error}); restore it or train it again") from None
    model = Transformer(shape)
    if shape.tied:
        tensors.setdefault("lm_head.weight", tensors.get("model.embed_tokens.weight", torch.empty(0)))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        line = " ".join(str(error).split())[:200]
        raise UserError(f"{folder}: weights do not fit config.json ({line}); restore the folder") from None
    return model.to(device).compute_in(dtype).eval().requires_grad_(False)
