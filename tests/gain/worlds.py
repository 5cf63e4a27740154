"""Run tables made from a known law, with or without noise."""

from __future__ import annotations

import numpy as np

from orionlm.gain.runs import RunTable

LAW = {"a": 60.0, "b": 90.0, "e": 0.6, "alpha": 0.34, "beta": 0.34}
WIDTHS = (2e5, 3.5e5, 6e5, 1e6)
SHARES = (0.35, 0.5, 0.7, 1.0)
FLOPS = 4e12


def loss(params, tokens):
    return LAW["e"] + LAW["a"] / params ** LAW["alpha"] + LAW["b"] / tokens ** LAW["beta"]


def ladder(lever="", gain=1.0, widths=WIDTHS, noise=0.0, seed=0, unique=np.inf, extra_flops=1.0):
    """Rows of runs at equal compute. The lever's are what the plain recipe reaches with `gain` times the compute."""
    rng, rows = np.random.default_rng(seed + len(lever)), []
    for n in widths:
        for share in SHARES:
            tokens = share * FLOPS / (6 * n)
            own = float(np.exp(noise * rng.standard_normal()))
            rows.append(
                {
                    "run": f"{lever}-{n:.0f}-{seed}", "lever": lever, "scale": f"{n:.0f}", "params": n,
                    "tokens": tokens,
                    "flops": 6 * n * tokens * extra_flops, "unique_tokens": min(tokens, unique), "seed": seed,
                    "validation": "held-out", "bits_per_byte": loss(n * gain**0.5, tokens * gain**0.5) * own,
                }
            )  # fmt: skip
    return rows


def table(*parts):
    return RunTable.from_rows([row for part in parts for row in part])
