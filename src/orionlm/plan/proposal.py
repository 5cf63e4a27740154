"""A budget in, the whole answer out: the plan, its loss, what binds, time, cost, memory, serving, and go or no-go."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from orionlm.errors import UserError
from orionlm.plan.best import INFER, TRAIN, Choice, Means, choose, needed, shadows
from orionlm.plan.budget import Budget, Reach, reach
from orionlm.plan.cost import Cost, cost
from orionlm.plan.experts import compare
from orionlm.plan.forecast import MAX_FACTOR
from orionlm.plan.laws import PUBLISHED
from orionlm.plan.layout import layout
from orionlm.plan.outlook import Outlook
from orionlm.plan.quantity import Quantity, plural, short
from orionlm.plan.repetition import MEASURED_PARAMS, MEASURED_UNIQUE
from orionlm.plan.serving import serve
from orionlm.plan.synthetic import generation_flops
from orionlm.shape import Shape

GO, NO_GO = 0.8, 0.2
VOCABULARY, KV_HEADS = 128_256, 8
UNITS = {"money": "$1M", "time": "week", "device_hours": "1M device hours", "flops": "1e24 FLOP"}


@dataclass(frozen=True)
class Formula:
    """One number of the answer, and how it came about."""

    name: str
    value: float
    formula: str


@dataclass(frozen=True)
class Proposal:
    """Everything `orion plan` says. `parts` is the JSON, `formulas` traces its numbers, `words` sums it up."""

    parts: dict[str, Any]
    formulas: tuple[Formula, ...]
    words: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return self.parts | {"words": list(self.words), "formulas": [asdict(formula) for formula in self.formulas]}


def propose(budget: Budget, *, extrapolate: bool = False, seed: int = 0) -> Proposal:
    """The best plan of a budget. Raises UserError where it buys nothing, or the laws are asked beyond their range."""
    outlook = Outlook.of(budget.law, seed=seed)
    means_reach = reach(budget)
    means = Means.of(budget, means_reach)
    chosen = choose(outlook, means)
    factor = chosen.flops / outlook.fitted_flops
    warnings = _warnings(budget, means, chosen, factor, outlook, extrapolate)
    loss, low, high = outlook.interval(chosen.losses)
    hours = chosen.flops / means_reach.rate / 3600
    serving_hours = INFER * chosen.params * means.served / means_reach.serving_rate / 3600
    devices = means_reach.devices
    days = hours / devices / 24
    use = means_reach.utilisation
    spread = sorted((use.median / use.high, use.median / use.low))
    price = cost(means_reach.accelerator, devices, days, rent=budget.compute.rent, seed=seed)
    prices = shadows(outlook, means, chosen, _resources(means, means_reach))
    shape = shape_near(chosen.params, budget.model.context)
    experts = budget.model.experts if budget.model.kind == "moe" else 1
    # Each expert is as large as the dense model's feed-forward part, and one of them is active.
    held = chosen.params + (experts - 1) * shape.layers * 3.0 * shape.width * shape.mlp_width
    # What there is none of cannot be what holds the plan back.
    binding = next(shadow.name for shadow in prices if shadow.amount)
    synthetic = float(means.text.synthetic_read(np.array(chosen.text_tokens)))
    writing_flops = generation_flops(synthetic, means.generator)
    writing_hours = writing_flops / means_reach.serving_rate / 3600
    epochs = max(1.0, (chosen.text_tokens - synthetic) / means.text.unique)
    parts: dict[str, Any] = {
        "name": budget.name,
        "plan": {
            "params": chosen.params,
            "tokens": chosen.tokens,
            "text_tokens": chosen.text_tokens,
            "unique_tokens": min(means.text.unique, chosen.text_tokens - synthetic),
            "epochs": epochs,
            "synthetic_tokens": synthetic,
            "tokens_per_param": chosen.tokens / chosen.params,
            "flops": chosen.flops,
            "loss": loss,
            "low": low,
            "high": high,
            "level": 0.9,
            "extrapolation_factor": factor,
            "ended_by": chosen.limit,
        },
        "by_law": _by_law(outlook, chosen),
        "binding": binding,
        "shadow_prices": [
            {
                "resource": shadow.name,
                "amount": shadow.amount,
                "unit": shadow.unit,
                "loss_per_unit": dict(zip(("value", "low", "high"), shadow.per_unit, strict=True)),
                "loss_per_5_percent": dict(zip(("value", "low", "high"), shadow.per_twentieth, strict=True)),
            }
            for shadow in prices
        ],
        "neighbours": _neighbours(outlook, means, means_reach, chosen, devices),
        "time": {
            "accelerator": means_reach.accelerator.name,
            "devices": devices,
            "device_hours": hours,
            "serving_device_hours": serving_hours,
            "writing_device_hours": writing_hours,
            "days": days,
            "low": days * spread[0],
            "high": days * spread[1],
            "goodput": means_reach.goodput.share,
            "mtbf_hours": means_reach.goodput.mtbf_hours,
            "checkpoint_every_seconds": means_reach.goodput.interval_seconds,
        },
        "cost": _dollars(price) | {"budget": _spent(means_reach, hours, serving_hours, writing_hours)},
        "architecture": _architecture(budget, chosen) | {"all_params": held},
        "shape": {"width": shape.width, "layers": shape.layers, "params": shape.parameters},
        "layout": _layout(shape, chosen, held, means_reach, devices, experts),
        "serving": _serving(shape, chosen, held, means_reach, devices, budget.model.context),
        "warnings": warnings,
    }
    verdict, why = _verdict(budget, outlook, means, chosen, parts)
    parts |= {"verdict": verdict, "why": why}
    return Proposal(parts, _formulas(means, means_reach, chosen, hours, days, loss, writing_flops), _words(parts, why))


def shape_near(params: float, context: int) -> Shape:
    """The dense shape, a width in steps of 64 and a layer for each 64 of it, whose parameters come nearest `params`."""
    widths = np.arange(64, 65_537, 64)
    estimate = (params * 64 / 12) ** (1 / 3)
    near = widths[np.argsort(np.abs(widths - estimate))[:24]]
    vocabulary = int(min(VOCABULARY, max(1024, 2 ** round(math.log2(params) / 2))))
    shapes = [Shape.from_width(int(width), vocabulary=vocabulary, context=context) for width in near]
    return min(shapes, key=lambda shape: abs(math.log(shape.parameters / params)))


def _warnings(
    budget: Budget, means: Means, chosen: Choice, factor: float, outlook: Outlook, extrapolate: bool
) -> list[str]:
    said = []
    if factor > MAX_FACTOR:
        orders = math.log10(factor)
        own = budget.law not in ("published", *PUBLISHED)
        if own and not extrapolate:
            raise UserError(
                f"law = {budget.law}: the plan's {chosen.flops:.3g} FLOPs are {factor:.3g} times its largest run, past "
                f"{MAX_FACTOR:g}; fit larger runs, or ask for it with --extrapolate"
            )
        said.append(f"extrapolates {orders:.1f} orders of magnitude beyond the compute the law was fitted on")
    if means.served and not ({"money", "device_hours"} & means.limits.keys() or means.flops):
        said.append(
            "demand.tokens do not shape this plan: the run's time alone is limited, and serving comes after it; "
            "give money, device_hours or flops that pay for both"
        )
    read = min(means.text.unique, chosen.text_tokens)
    ranges = (("parameters", chosen.params, MEASURED_PARAMS), ("different tokens", read, MEASURED_UNIQUE))
    for name, value, (least, most) in ranges if chosen.text_tokens > 1.01 * means.text.unique else ():
        if not least <= value <= most:
            said.append(
                f"what reading text again does was measured on {short(least)} to {short(most)} {name}, "
                f"not on {short(value)}"
            )
    if means.text.synthetic:
        said.append("the worth of synthetic text is this project's prior, not a published law: measure it first")
    if budget.model.kind == "moe":
        said.append("params are the active ones, the loss the dense model's: architecture says what a mixture gains")
    if budget.model.kind == "fusion":
        said.append(f"early fusion is taken as a split of the tokens, {means.text_share:.0%} text; no tax is known")
    if chosen.tokens / chosen.params > 600 or chosen.tokens / chosen.params < 1.5:
        said.append(
            f"{chosen.tokens / chosen.params:.3g} tokens a parameter lie outside what any of the laws' runs saw"
        )
    if chosen.params >= means.largest * 0.99 or chosen.params <= means.smallest * 1.01:
        said.append(f"the best size lies at the edge of model.smallest … model.largest, {chosen.params:.3g}")
    return said


def _resources(means: Means, limits: Reach) -> dict[str, tuple[float, float, str]]:
    """Each resource: how much there is, one unit of it in the same measure, and the unit's name."""
    found = {}
    for name, hours in limits.limits.items():
        unit = {"money": 1e6 / (limits.rent or 1), "time": 7 * 24 * limits.devices, "device_hours": 1e6}[name]
        found[name] = (hours, unit, UNITS[name])
    if limits.flops:
        found["flops"] = (limits.flops, 1e24, UNITS["flops"])
    found["real text"] = (means.text.unique, 1e9, "1B tokens")
    found["synthetic text"] = (means.text.synthetic, 1e9, "1B tokens")
    return found


def _by_law(outlook: Outlook, chosen: Choice) -> dict[str, float]:
    """Each law's median loss: how far they disagree."""
    named, row = {}, 0
    for part in outlook.parts:
        named[part.name] = float(np.median(chosen.losses[row : row + len(part.theta)]))
        row += len(part.theta)
    return named


def _neighbours(
    outlook: Outlook, means: Means, limits: Reach, chosen: Choice, devices: float
) -> list[dict[str, float]]:
    """Half and twice the size under the same limits, and what they would cost in expected loss."""
    rows = []
    for size in (0.5, 2.0):
        try:
            other = choose(outlook, means, chosen.params * size)
        except UserError:
            continue
        _, low, high = outlook.interval(other.losses - chosen.losses)
        rows.append(
            {
                "params": other.params,
                "tokens": other.tokens,
                "flops": other.flops,
                "days": other.flops / limits.rate / 3600 / devices / 24,
                "loss_difference": float(outlook.weight @ (other.losses - chosen.losses)),
                "low": low,
                "high": high,
            }
        )
    return rows


def _dollars(price: Cost) -> dict[str, Any]:
    named = {"cloud": price.cloud, "hardware": price.hardware, "power": price.power_dollars, "owned": price.owned}
    shown: dict[str, Any] = {name: _interval(quantity) for name, quantity in named.items()}
    return shown | {"acquisition": _interval(price.acquisition), "energy_kwh": _interval(price.energy_kwh)}


def _interval(quantity: Quantity | None) -> dict[str, float] | None:
    return None if quantity is None else {"value": quantity.median, "low": quantity.low, "high": quantity.high}


def _spent(limits: Reach, hours: float, serving_hours: float, writing_hours: float) -> dict[str, float] | None:
    if not limits.rent:
        return None
    return {
        "dollars_per_hour": limits.rent,
        "training": hours * limits.rent,
        "serving": serving_hours * limits.rent,
        "writing": writing_hours * limits.rent,
        "total": (hours + serving_hours + writing_hours) * limits.rent,
    }


def _or_why(work: Callable[[], Any]) -> dict[str, Any]:
    try:
        return asdict(work())
    except UserError as error:
        return {"refused": str(error)}


def _architecture(budget: Budget, chosen: Choice) -> dict[str, Any]:
    """What a mixture of experts with the plan's parameters active would gain, by the laws that may be asked here."""
    if budget.model.kind != "moe":
        return {"kind": budget.model.kind}
    compared = _or_why(lambda: compare(chosen.params, chosen.tokens, budget.model.experts))
    return {"kind": "moe", "experts": budget.model.experts} | compared


def _layout(shape: Shape, chosen: Choice, held: float, limits: Reach, devices: float, experts: int) -> dict[str, Any]:
    """The parallelism that fits. The batch is DeepSeek's, .292·C^.3271 tokens (2401.02954, eq. 1)."""
    batch = max(0.292 * chosen.flops**0.3271, shape.context)
    return {"batch_tokens": batch} | _or_why(
        lambda: layout(
            held,
            chosen.params,
            shape.layers,
            shape.width,
            shape.context,
            limits.accelerator,
            int(devices),
            batch,
            experts,
        )
    )


def _serving(shape: Shape, chosen: Choice, held: float, limits: Reach, devices: float, context: int) -> dict[str, Any]:
    """What the same fleet serves, with grouped-query attention of eight key-value heads and bf16."""
    kv_bytes = 2.0 * 2 * shape.layers * min(shape.heads, KV_HEADS) * shape.head_dim
    served = _or_why(lambda: serve(chosen.params, held, limits.accelerator, devices, kv_bytes, min(context, 4096)))
    price = served.get("dollars_per_million_tokens")
    if price:
        served["dollars_per_million_tokens"] = {name: price[name] for name in ("median", "low", "high")}
    return served


def _verdict(budget: Budget, outlook: Outlook, means: Means, chosen: Choice, parts: dict[str, Any]) -> tuple[str, str]:
    wanted = budget.target.loss
    if "refused" in parts["layout"]:
        return "no-go", f"the model does not fit: {parts['layout']['refused']}"
    if wanted is None:
        return "go", "no target was set: this is the best that the budget buys"
    chance = float(outlook.weight @ (chosen.losses <= wanted))
    named = [name for name in (*means.limits, "real text") if name != "flops"] + (["flops"] if means.flops else [])
    if chance >= GO:
        return "go", f"loss {wanted:g} or below has a probability of {chance:.0%}"
    alone = {name: value for name, value in needed(outlook, means, wanted, named).items() if value}
    if alone:
        name, value = min(alone.items(), key=lambda item: item[1])
        mend = f"the smallest relaxation: {value:.3g} times the {name.replace('_', ' ')}"
    else:
        mend = f"no single resource reaches it; what is within reach is {parts['plan']['loss']:.4g}"
    verdict = "no-go" if chance <= NO_GO else "cannot tell"
    return verdict, f"loss {wanted:g} or below has a probability of {chance:.0%}; {mend}"


def _formulas(
    means: Means, limits: Reach, chosen: Choice, hours: float, days: float, loss: float, writing_flops: float
) -> tuple[Formula, ...]:
    chip = limits.accelerator
    rows = [
        Formula("flops", chosen.flops, f"{TRAIN:g} · params · tokens (2001.08361, section 2.1)"),
        Formula("rate", limits.rate, f"{chip.name} peak · utilisation · goodput, useful FLOP/s of one device"),
        Formula("goodput", float(limits.goodput.share), "Daly 2006, eq. 20, at the best checkpoint interval"),
        Formula("device_hours", hours, "flops / rate / 3600"),
        Formula("days", days, f"device_hours / {limits.devices:g} devices / 24"),
        Formula("loss", loss, "median of the laws' draws of E + A/N^α + B/D'^β, D' the worth of the text"),
    ]
    if means.served:
        rows.append(Formula("serving_flops", INFER * chosen.params * means.served, "2 · params · demand.tokens"))
    if writing_flops:
        rows.append(Formula("writing_flops", writing_flops, "2 · text.generator_params · synthetic tokens read"))
    return tuple(rows)


def _words(parts: dict[str, Any], why: str) -> tuple[str, ...]:
    plan, time = parts["plan"], parts["time"]
    span = f"[{short(time['low'])}–{short(time['high'])}]"
    return (
        f"{short(plan['params'])} parameters on {short(plan['tokens'])} tokens ({plural(plan['epochs'], 'epoch')}): "
        f"loss {plan['loss']:.3f} [{plan['low']:.3f}–{plan['high']:.3f}], {plan['flops']:.3g} FLOP",
        f"{time['devices']:,.0f} × {time['accelerator']} for {plural(time['days'], 'day')} {span}",
        f"what binds: {parts['binding'].replace('_', ' ')}",
        f"{parts['verdict']}: {why}",
    )
