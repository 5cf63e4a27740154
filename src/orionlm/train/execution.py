"""How does this machine compute fastest: device, precision, threads, compilation? Measured once, stored, said."""

from __future__ import annotations

import ctypes
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orionlm.recipe.context import cores as available_cores

if TYPE_CHECKING:
    import torch

    from orionlm.recipe.context import Context
    from orionlm.shape import Shape

# Dense bf16 peaks in FLOP/s, from the makers' data sheets; other devices are measured.
PEAKS = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "B200": 2250e12, "GB200": 2500e12, "MI300X": 1307e12}

# A compiled step saves about half its time on a CPU and costs about 20 s of compiling (docs/NOTES.md).
COMPILE_FROM_SECONDS = 40.0
ASSUMED_CPU_RATE = 35e9


# Names and numbers of glibc's <malloc.h>.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3


@dataclass(frozen=True)
class Execution:
    """Decides the last bits of a result, so it is stored with a run. `peak` is in FLOP/s, at this precision."""

    device: str = "cpu"
    precision: str = "fp32"
    compile: bool = False
    threads: int = 1
    peak: float = 0.0


def choose(context: Context, shape: Shape, flops: float) -> Execution:
    """The execution of a training run of `flops`, from what the recipe, the run or this machine has stored."""
    import torch

    from orionlm.train.probe import faster_threads

    device = "cuda" if torch.cuda.is_available() else "cpu"
    cores = int(context.choose("threads", available_cores))
    torch.set_num_threads(cores)
    precision = str(context.choose("precision", lambda: faster_precision(device)))
    peak = float(context.choose(f"peak_{precision}", lambda: peak_flops(device, precision)))
    long = device == "cuda" or flops / ASSUMED_CPU_RATE > COMPILE_FROM_SECONDS
    threads = cores
    if cores > 1 and device == "cpu" and "threads" not in context.pinned:
        name = f"threads_d{shape.width}_l{shape.layers}"
        threads = int(context.choose(name, lambda: faster_threads(shape, precision, cores)))
    return Execution(
        device, precision, long and bool(context.choose("compiler", compiles)), threads, peak * threads / cores
    )


def keep_freed_memory() -> None:
    """Have glibc reuse large freed blocks instead of handing them back to the kernel, which would clear thousands of
    pages a step (docs/NOTES.md). Elsewhere, nothing."""
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "gnu_get_libc_version"):
        return
    for option, size in ((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, 1 << 30), (M_TOP_PAD, 1 << 26)):
        libc.mallopt(option, size)


def faster_precision(device: str) -> str:
    """bf16 where products of matrices are at least a quarter faster with it, else fp32."""
    import torch

    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if matmul_flops(torch.bfloat16) > 1.25 * matmul_flops(torch.float32) else "fp32"


def peak_flops(device: str, precision: str) -> float:
    """FLOP/s that utilisation is measured against: a data sheet's, or the best product of matrices seen here."""
    import torch

    if device == "cuda":
        name = torch.cuda.get_device_name()
        for chip, peak in sorted(PEAKS.items(), key=lambda item: -len(item[0])):
            if chip in name:
                return peak if precision == "bf16" else peak / 2
    return matmul_flops(torch.bfloat16 if precision == "bf16" else torch.float32, device, size=1024)


def matmul_flops(dtype: torch.dtype, device: str = "cpu", size: int = 512) -> float:
    """FLOP/s of a square product, the median of several timings."""
    import torch

    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def once() -> None:
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()

    return 2 * size**3 / _median_seconds(once)


def _median_seconds(work: Callable[[], None], repeats: int = 15) -> float:
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def compiles() -> bool:
    """Whether torch can compile here: a C++ compiler stands on the path, and a small function comes through right."""
    import torch

    if not torch.cuda.is_available() and not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        return False
    try:
        x = torch.arange(8.0)
        return bool(torch.equal(torch.compile(lambda x: x * 2 + 1)(x), x * 2 + 1))
    except Exception:  # whatever a broken tool chain raises, the eager path still stands
        return False
