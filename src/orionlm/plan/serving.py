"""How much can a fleet serve: tokens a second, requests a day, at what price a million tokens?

A roofline of decoding (Pope et al. 2022, 2211.05102, section 3; Williams et al. 2009): a step reads the weights that
the batch touches and every sequence's keys and values, and computes 2·N_active FLOPs a sequence; the slower decides.
The prompt is computed first, bound by compute. Attention's own FLOPs and the network between devices are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from orionlm.errors import UserError
from orionlm.plan.accelerators import Accelerator
from orionlm.plan.quantity import MONEY, Quantity

USABLE = 0.9  # of memory
BANDWIDTH_SHARE = 0.7  # of peak, reached by good decode kernels; rules of thumb of this project
COMPUTE_SHARE = 0.4
LARGEST_REPLICA = 1024


@dataclass(frozen=True)
class Serving:
    """Of the whole fleet: output tokens a second, requests a day, dollars a million output tokens (None without rent).

    `batch` sequences run at once on each of `replicas` replicas of `replica_devices` devices; a user sees a token each
    `seconds_per_token`. `bound` is what limits a step, "memory bandwidth" or "compute"; `batch_bound` what limits the
    batch, "memory" or "latency".
    """

    tokens_per_second: float
    requests_per_day: float
    dollars_per_million_tokens: Quantity | None
    batch: int
    bound: str
    batch_bound: str
    replicas: int
    replica_devices: int
    seconds_per_token: float


def serve(
    active_params: float,
    params: float,
    accelerator: Accelerator,
    devices: float,
    kv_bytes_per_token: float,
    context: float,
    tokens_per_request: float = 500,
    *,
    bytes_per_param: float = 2.0,
    seconds_per_token: float = 0.05,
    rent: Quantity | None = None,
) -> Serving:
    """What `devices` devices serve when a request holds `context` tokens, the last `tokens_per_request` of them new.

    A user waits at most `seconds_per_token` for each. `rent` (dollars a device hour) stands in for the table's. A fleet
    too small for one copy of the weights raises UserError with the size that is not.
    """
    named = {"active_params": active_params, "params": params, "devices": devices, "context": context,
             "kv_bytes_per_token": kv_bytes_per_token, "tokens_per_request": tokens_per_request,
             "bytes_per_param": bytes_per_param, "seconds_per_token": seconds_per_token}  # fmt: skip
    for name, value in named.items():
        if not (math.isfinite(value) and value > 0):
            raise UserError(f"{name} = {value}: give a finite number above 0")
    if active_params > params:
        raise UserError(f"active_params = {active_params:g}: more than params = {params:g}")
    if tokens_per_request > context:
        raise UserError(f"tokens_per_request = {tokens_per_request:g}: more than context = {context:g}")
    weights = params * bytes_per_param
    room = USABLE * accelerator.memory
    needed = 2 ** math.ceil(math.log2(max(1.0, (weights + kv_bytes_per_token * context) / room)))
    if devices < needed:
        raise UserError(
            f"devices = {devices:,.0f}: {weights / 1e9:,.0f} GB of weights and one request need"
            f" {needed:,} {accelerator.name}"
        )
    flops = accelerator.bf16 if bytes_per_param > 1 or accelerator.fp8 is None else accelerator.fp8
    prompt = context - tokens_per_request

    def step(batch: int, size: int) -> tuple[float, float]:
        """Seconds of a decoding step by memory and by compute. A mixture reads the experts that any sequence needs."""
        touched = (
            weights * -math.expm1(batch * math.log1p(-active_params / params)) if active_params < params else weights
        )
        read = touched + batch * kv_bytes_per_token * (prompt + tokens_per_request / 2)
        work = 2 * active_params * batch
        return read / (size * accelerator.bandwidth * BANDWIDTH_SHARE), work / (size * flops * COMPUTE_SHARE)

    best: Serving | None = None
    size = needed
    while size <= min(devices, max(LARGEST_REPLICA, needed)):
        fits = int((size * room - weights) // (kv_bytes_per_token * context))
        batch, limit = fits, "memory"
        if max(step(fits, size)) > seconds_per_token:
            low, high = 0, fits
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if max(step(middle, size)) <= seconds_per_token else (low, middle)
            batch, limit = low, "latency"
        if batch >= 1:
            memory, compute = step(batch, size)
            prefill = 2 * active_params * prompt / (size * flops * COMPUTE_SHARE)
            requests = int(devices // size) / (prefill + tokens_per_request * max(memory, compute) / batch)
            if best is None or requests * 86400 > best.requests_per_day * 1.001:
                price = rent or accelerator.rent
                million = devices / (3600 * requests * tokens_per_request) * 1e6
                dollars = (
                    Quantity(price.median * million, price.low * million, price.high * million, MONEY)
                    if price
                    else None
                )
                best = Serving(requests * tokens_per_request, requests * 86400, dollars, batch,
                               "memory bandwidth" if memory > compute else "compute", limit, int(devices // size), size,
                               max(memory, compute))  # fmt: skip
        size *= 2
    if best is None:
        alone = min(max(step(1, 2**k)) for k in range(int(math.log2(devices)) + 1) if 2**k >= needed)
        raise UserError(
            f"seconds_per_token = {seconds_per_token:g}: {devices:,.0f} {accelerator.name} need {alone:.2g} s for"
            " one sequence"
        )
    return best
