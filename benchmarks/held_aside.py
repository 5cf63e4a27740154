"""Forecasts of other people's large runs from their small ones: error and coverage of 90% intervals.

python benchmarks/held_aside.py [chinchilla_points.csv] --json prints one object. The runs below a compute cut are
fitted, every run of more than six times the cut is forecast. The peer is the plain robust fit of the Chinchilla law
(2404.10102).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from orionlm.gain.runs import read_runs
from orionlm.plan.fit import fit_robust
from orionlm.plan.forecast import forecast
from orionlm.plan.posterior import fit_laws

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "chinchilla_points.csv"
CUTS = (1.5e19, 4e19, 1.5e20, 4e20)
BEYOND = 6.0


def held(points, cut: float) -> dict[str, float]:
    """Fit below `cut`, forecast above six times of it."""
    small, large = points.select(points.flops < cut), points.select(points.flops > BEYOND * cut)
    fits, plain = fit_laws(small), fit_robust(small)
    said = [forecast(fits, n, d, extrapolate=True) for n, d in zip(large.params, large.tokens, strict=True)]
    error = np.array([one.loss for one in said]) / large.loss - 1
    peer = plain.law.predict(plain.theta, large.params, large.tokens) / large.loss - 1
    inside = np.mean([one.low <= loss <= one.high for one, loss in zip(said, large.loss, strict=True)])
    return {
        "cut": cut,
        "fitted": len(small),
        "held_aside": len(large),
        "extrapolation_factor": float(np.median([one.extrapolation_factor for one in said])),
        "error": float(np.median(np.abs(error))),
        "bias": float(np.median(error)),
        "peer_error": float(np.median(np.abs(peer))),
        "coverage": float(inside),
        "half_width": float(np.median([one.half_width for one in said])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="?", type=Path, default=DATA)
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the output is always JSON")
    arguments = parser.parse_args()
    points = read_runs(arguments.runs).points().without_worst(5)
    rows = [held(points, cut) for cut in CUTS]
    ratios = [row["peer_error"] / row["error"] for row in rows]
    document = {
        "name": "held_aside",
        "ours": float(np.median([row["error"] for row in rows])),
        "peer": float(np.median([row["peer_error"] for row in rows])),
        "ratio": float(np.median(ratios)),
        "low": min(ratios),
        "high": max(ratios),
        "goal": "error at most 0.02, coverage of 90% intervals at least 0.86",
        "unit": "median absolute relative error of the loss; peer: the plain robust fit",
        "versions": {"python": sys.version.split()[0], "numpy": np.__version__},
        "command": " ".join(["python", "benchmarks/held_aside.py", *sys.argv[1:]]),
        "results": rows,
    }
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
