"""Does a model fit into a cluster's memory while it trains, and with which parallelism?

Bytes of a device: bf16 weights 2 and gradients 2, fp32 master weights and two moments 12 for each parameter it holds
(ZeRO: Rajbhandari et al. 2019, 1910.02054, section 3), the last 12 split over the data-parallel ranks at stage 1, the
gradients too at stage 2, the weights too at stage 3 (FSDP). Activations of a layer with sequence parallelism and an
attention that stores no score matrix: 34·s·b·h/t; only its input, 2·s·b·h/t, when recomputed (Korthikanti et al. 2022,
2205.05198, table 2). A pipeline's first stage holds as many micro-batches as there are stages, so that its activations
are those of all layers (same, section 4.2.3). In a mixture the feed-forward part, 19 of the 34, grows with its active
width.

Which of the layouts that fit is best is ordered by rules of thumb of this project, not by a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from orionlm.errors import UserError
from orionlm.plan.accelerators import Accelerator

USABLE = 0.9  # of memory; the rest goes to buffers of collectives, kernels and fragmentation
NODE = 8  # devices that tensor parallelism may span
TENSOR_SPEED = {1: 1.0, 2: 0.96, 4: 0.92, 8: 0.86}
RECOMPUTE_SPEED = 3 / 4  # one forward pass more to each forward and backward
ZERO_SPEED = {1: 1.0, 2: 0.995, 3: 0.98}
NETWORK = 50e9  # bytes/s that each device has between nodes (400 Gb/s)
EXPERT_SPEED = 0.98  # for each doubling of expert parallelism
PIPELINE_SPEED = 0.98  # for each doubling of stages, beside the idle time that is counted


@dataclass(frozen=True)
class Layout:
    """Ranks of each kind: data x tensor x pipeline devices, experts split among data ranks; sequences a micro-batch.

    `bytes_per_device` is the peak, `speed` the estimated throughput over that of one device alone, both modelled.
    """

    data: int
    tensor: int
    pipeline: int
    expert: int
    micro_batch: int
    bytes_per_device: float
    recompute: bool
    zero_stage: int
    why: str
    speed: float

    @property
    def devices(self) -> int:
        """How many devices it uses."""
        return self.data * self.tensor * self.pipeline


@dataclass(frozen=True)
class _Model:
    params: float
    active: float
    layers: int
    width: int
    context: int
    batch: int  # sequences
    experts: int

    def bytes(
        self, data: int, tensor: int, pipeline: int, expert: int, micro: int, recompute: bool, zero: int
    ) -> float:
        """The peak of one device."""
        # What every token passes through cannot be more than the active parameters; the rest are experts at least.
        held = (self.active + (self.params - self.active) / expert) / (tensor * pipeline)
        everything = self.params / (tensor * pipeline * data)
        weights = 2 * (everything if zero == 3 else held)
        gradients = 2 * (everything if zero >= 2 else held)
        gathered = 4 * held / max(self.layers / pipeline, 1) if zero == 3 else 0.0  # two layers at a time
        mlp = (
            max(1.0, (self.active / self.layers - 4 * self.width**2) / (8 * self.width**2)) if self.experts > 1 else 1.0
        )
        token = self.width * micro * self.context / tensor
        layer = (15 + 19 * mlp) * token
        activations = 2 * token * self.layers + layer if recompute else layer * self.layers
        return weights + gradients + 12 * everything + gathered + activations

    def compute_over_network(self, micro: int, peak: float) -> float:
        """Seconds to compute a micro-batch at 40% of `peak` over those to fetch weights twice and pass gradients.

        6 FLOPs for each active parameter and token against 6 bytes for each parameter.
        """
        return self.active * micro * self.context / (0.4 * peak) / (self.params / NETWORK)


def layout(
    params: float,
    active_params: float,
    layers: int,
    width: int,
    context: int,
    accelerator: Accelerator,
    devices: int,
    batch_tokens: float,
    experts: int = 1,
    *,
    recompute: bool | None = None,
    micro_batch: int | None = None,
) -> Layout:
    """The best layout that fits; `recompute` and `micro_batch` may be pinned. UserError names the smallest relaxation.

    `batch_tokens` is the global batch of one step; `devices` is rounded down to what the ranks divide.
    """
    model = _checked(params, active_params, layers, width, context, devices, batch_tokens, experts)
    if micro_batch is not None and not 1 <= micro_batch <= model.batch:
        raise UserError(f"micro_batch = {micro_batch}: give sequences from 1 to the batch's {model.batch}")
    found = _best(model, int(devices), accelerator, recompute, micro_batch)
    if found is None:
        raise UserError(_relaxation(model, int(devices), accelerator, recompute, micro_batch))
    return found


def _checked(params: float, active: float, layers: int, width: int, context: int, devices: float, tokens: float,
             experts: int) -> _Model:  # fmt: skip
    named = {"params": params, "active_params": active, "layers": layers, "width": width, "context": context,
             "devices": devices, "batch_tokens": tokens, "experts": experts}  # fmt: skip
    for name, value in named.items():
        if not (math.isfinite(value) and value >= 1):
            raise UserError(f"{name} = {value}: give a finite number of at least 1")
    if active > params:
        raise UserError(f"active_params = {active:g}: more than params = {params:g}")
    if tokens < context:
        raise UserError(f"batch_tokens = {tokens:g}: less than one sequence of context = {context:g}; raise the batch")
    batch = int(tokens // context)
    return _Model(params, active, int(layers), int(width), int(context), batch, int(experts))


def _best(
    model: _Model, devices: int, chip: Accelerator, recompute: bool | None = None, micro: int | None = None
) -> Layout | None:
    room = USABLE * chip.memory
    options = (o for o in _options(model, devices, chip.bf16, recompute, micro) if o.bytes_per_device <= room)
    # At equal speed the simplest: fewer pipeline stages, less tensor and expert parallelism, a lower ZeRO stage.
    return max(
        options, default=None, key=lambda o: (round(o.speed, 4), -o.pipeline, -o.tensor, -o.expert, -o.zero_stage)
    )


def _options(model: _Model, devices: int, peak: float, recompute: bool | None, micro: int | None) -> Iterator[Layout]:
    """Every layout worth a look. Without sequences for all data ranks, tensor and pipeline must take the devices."""
    micros = [micro] if micro else [m for m in (1, 2, 4, 8, 16) if m <= model.batch]
    for tensor in (t for t in TENSOR_SPEED if t <= min(devices, NODE) and model.width % t == 0):
        for pipeline in (p for p in _divisors(model.layers) if p * tensor <= devices):
            for size in micros:
                most = min(devices // (tensor * pipeline), model.batch // size)
                for expert in (e for e in _divisors(model.experts) if e <= most):
                    data = most - most % expert
                    steps = math.ceil(model.batch / (data * size))
                    filled = model.batch / (data * size) / (steps + pipeline - 1)
                    used = data * tensor * pipeline
                    for again in (False, True) if recompute is None else (recompute,):
                        for zero in ZERO_SPEED if pipeline == 1 else (1,):
                            speed = used * filled * TENSOR_SPEED[tensor] * ZERO_SPEED[zero]
                            if zero == 3 and used > NODE:
                                speed *= min(1.0, model.compute_over_network(size, peak))
                            speed *= (RECOMPUTE_SPEED if again else 1) * EXPERT_SPEED ** math.log2(expert)
                            speed *= PIPELINE_SPEED ** math.log2(pipeline)
                            size_bytes = model.bytes(data, tensor, pipeline, expert, size, again, zero)
                            why = _words(devices - used, steps, pipeline, again, zero)
                            yield Layout(data, tensor, pipeline, expert, size, size_bytes, again, zero, why, speed)


def _words(idle: int, steps: int, pipeline: int, recompute: bool, zero: int) -> str:
    parts = [f"optimizer state split over data ranks (ZeRO {zero})"]
    if pipeline > 1:
        parts.append(f"pipeline idle {100 * (pipeline - 1) / (steps + pipeline - 1):.0f}% of the time")
    parts.append("activations recomputed" if recompute else "activations kept")
    if idle:
        parts.append(f"{idle:,} devices idle: the batch or the divisors do not fill them")
    return "; ".join(parts)


def _relaxation(model: _Model, devices: int, chip: Accelerator, recompute: bool | None, micro: int | None) -> str:
    """Why nothing fits, and the smallest change that does: recomputation, a smaller micro-batch, more devices."""
    least = min((o.bytes_per_device for o in _options(model, devices, chip.bf16, recompute, micro)), default=math.inf)
    problem = (
        f"devices = {devices:,}: {model.params:.3g} parameters need {least / 1e9:,.1f} GB a device, and a"
        f" {chip.name} has {USABLE * chip.memory / 1e9:,.1f} GB to use"
    )
    if recompute is False and _best(model, devices, chip, True, micro):
        return f"{problem}; it fits if activations are recomputed (recompute = true)"
    if micro and micro > 1:
        smaller = next((m for m in range(micro - 1, 0, -1) if _best(model, devices, chip, recompute, m)), None)
        if smaller:
            return f"{problem}; it fits at micro_batch = {smaller}"
        if recompute is False and _best(model, devices, chip, True, 1):
            return f"{problem}; it fits with recompute = true and micro_batch = 1"
    low, high = devices, devices
    while high < 2**24:
        low, high = high, high * 2
        if _best(model, high, chip):
            break
    else:
        return f"{problem}; more devices do not help: shorten the context, or take an accelerator with more memory"
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _best(model, middle, chip) else (middle, high)
    return f"{problem}; the smallest cluster found that fits has {high:,} devices"


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, min(n, 1024) + 1) if n % d == 0]
