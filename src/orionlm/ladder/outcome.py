"""The stage `outcome`: was the forecast right? And what does the model write?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, write_json

if TYPE_CHECKING:
    from orionlm.recipe.context import Context


class Settings(BaseModel):
    """`prompts` to complete with the trained model, `sample_tokens` tokens each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: tuple[str, ...] = ("def ", "class ", "import numpy as np\n")
    sample_tokens: int = Field(default=80, ge=1)
    temperature: float = Field(default=0.7, ge=0)


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Hold the measurement against what was said before; write `outcome.json` and `samples.json`."""
    import torch

    from orionlm.inference.complete import complete

    # The thread count decides the last bits, and so the samples.
    torch.set_num_threads(1)
    said = inputs["forecast"].json("forecast.json")
    result = inputs["run"].json("result.json")
    page = judge(said, result)
    samples = [
        {
            "prompt": prompt,
            "text": complete(
                inputs["run"].path,
                prompt,
                max_tokens=settings.sample_tokens,
                temperature=settings.temperature,
                seed=context.seed,
            ),
        }
        for prompt in settings.prompts
    ]
    write_json(out / "samples.json", samples)
    write_json(out / "outcome.json", page)
    context.progress.say(f"{context.stage}: measured {page['measured']:.4f} bits per byte: {page['verdict']}")


def judge(said: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """`verdict` is inside, outside, or cannot tell where nothing was forecast. Errors are shares of the measured."""
    measured = result["bits_per_byte"]
    page = {name: said[name] for name in ("predicted", "low", "high", "level", "half_width", "flops_ratio")}
    page |= {"measured": measured, "standard_error": result["standard_error"], "induction": result["induction"]}
    if said["verdict"] != "forecast":
        return page | {"verdict": "cannot tell", "error": None, "baselines": {}, "beats_baselines": None}
    error = said["predicted"] / measured - 1
    others = {name: {"predicted": value, "error": value / measured - 1} for name, value in said["baselines"].items()}
    return page | {
        "verdict": "inside" if said["low"] <= measured <= said["high"] else "outside",
        "error": error,
        "baselines": others,
        "beats_baselines": all(abs(error) < abs(other["error"]) for other in others.values()),
    }
