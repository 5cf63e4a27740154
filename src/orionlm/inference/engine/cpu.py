"""The passes of a step on a CPU: `kernels.cpp`, compiled on first use for the machine at hand."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from orionlm.inference.engine.rows import Rows
from orionlm.shape import Shape

SOURCE = Path(__file__).with_name("kernels.cpp")
FLAGS = ("-O3", "-march=native", "-std=c++17", "-fopenmp", "-shared", "-fPIC")


def available(shape: Shape) -> bool:
    """Whether the compiled passes serve this shape here; where not, `plain` does, slower."""
    return shape.head_dim % 32 == 0 and shape.mlp_width % 16 == 0 and _library() is not None


class Packed:
    """A matrix (n, k) as panels of columns, the order in which the product reads it."""

    def __init__(self, weight_nk: Tensor, panel: int) -> None:
        self.columns, self.depth = weight_nk.shape
        panels = -(-self.columns // panel)
        padded = torch.zeros(panels * panel, self.depth)
        padded[: self.columns] = weight_nk.float()
        self.data = padded.view(panels, panel, self.depth).transpose(1, 2).contiguous()
        self.address = self.data.data_ptr()


class Kernels:
    """fp32; a row's result is the same to the last bit whatever other rows are given."""

    exact = True

    def __init__(self, shape: Shape) -> None:
        library = _library()
        assert library is not None, "ask `available` first"
        self.shape, self.passes = shape, library
        self.page = library.page()

    def cache(self, pages: int) -> tuple[Tensor, Tensor]:
        """Zeroed keys and values of `pages` pages, a layer at a time."""
        shape = self.shape
        size = (shape.layers, pages, shape.kv_heads)
        return (
            torch.zeros(*size, shape.head_dim, self.page),
            torch.zeros(*size, self.page, shape.head_dim),
        )

    def pack(self, weight_nk: Tensor) -> Packed:
        return Packed(weight_nk, self.passes.panel())

    def linear(self, x_rk: Tensor, weight: Packed) -> Tensor:
        out_rn = torch.empty(x_rk.shape[0], weight.columns)
        self.passes.linear(
            x_rk.data_ptr(), weight.address, out_rn.data_ptr(), x_rk.shape[0], weight.depth, weight.columns, 0
        )
        return out_rn

    def add_linear(self, to_rn: Tensor, x_rk: Tensor, weight: Packed) -> None:
        self.passes.linear(
            x_rk.data_ptr(), weight.address, to_rn.data_ptr(), x_rk.shape[0], weight.depth, weight.columns, 1
        )

    def rms_norm(self, x_rd: Tensor, weight_d: Tensor) -> Tensor:
        out_rd = torch.empty_like(x_rd)
        self.passes.rms_norm(
            x_rd.data_ptr(), weight_d.data_ptr(), out_rd.data_ptr(), *x_rd.shape, self.shape.norm_epsilon
        )
        return out_rd

    def attend(
        self,
        heads_rx: Tensor,
        q_weight_k: Tensor,
        k_weight_k: Tensor,
        rotary: tuple[Tensor, Tensor],
        cache: tuple[Tensor, Tensor],
        rows: Rows,
    ) -> Tensor:
        """heads (r, [q | k | v] heads x head_dim) → (r, q heads x head_dim); keys and values go to the cache first."""
        shape, count = self.shape, heads_rx.shape[0]
        where = (
            rows.position_r.data_ptr(),
            rows.sequence_r.data_ptr(),
            rows.table_sp.data_ptr(),
            rows.table_sp.shape[1],
        )
        sizes = (count, shape.heads, shape.kv_heads, shape.head_dim)
        keys, values = cache[0].data_ptr(), cache[1].data_ptr()
        heads = heads_rx.data_ptr()
        cosine, sine = rotary
        self.passes.rotate_and_store(
            heads, q_weight_k.data_ptr(), k_weight_k.data_ptr(), cosine.data_ptr(), sine.data_ptr(), *where,
            keys, values, *sizes, shape.norm_epsilon,
        )  # fmt: skip
        out_rx = torch.empty(count, shape.heads * shape.head_dim)
        self.passes.attend(heads, keys, values, *where, out_rx.data_ptr(), *sizes)
        return out_rx

    def swiglu(self, gate_up_rx: Tensor) -> Tensor:
        rows, both = gate_up_rx.shape
        out_rf = torch.empty(rows, both // 2)
        self.passes.swiglu(gate_up_rx.data_ptr(), out_rf.data_ptr(), rows, both // 2)
        return out_rf


_POINTER, _LONG, _FLOAT = ctypes.c_void_p, ctypes.c_long, ctypes.c_float
_SIGNATURES: dict[str, list[Any]] = {
    "linear": [_POINTER] * 3 + [_LONG] * 3 + [ctypes.c_int],
    "rms_norm": [_POINTER] * 3 + [_LONG] * 2 + [_FLOAT],
    "rotate_and_store": [_POINTER] * 8 + [_LONG] + [_POINTER] * 2 + [_LONG] * 4 + [_FLOAT],
    "attend": [_POINTER] * 6 + [_LONG] + [_POINTER] + [_LONG] * 4,
    "swiglu": [_POINTER] * 2 + [_LONG] * 2,
}


@functools.cache
def _library() -> ctypes.CDLL | None:
    """None without a compiler, or where what it made does not load."""
    compiler = next((path for path in map(shutil.which, ("g++", "clang++")) if path), None)
    if compiler is None:
        return None
    try:
        library = _loaded(compiler)
    except (OSError, subprocess.SubprocessError):
        return None
    for name, arguments in _SIGNATURES.items():
        getattr(library, name).argtypes = arguments
        getattr(library, name).restype = None
    return library


def _loaded(compiler: str) -> ctypes.CDLL:
    """The library for this source, compiler and processor: built once, put in place by rename; for this process alone
    where nothing can be kept."""
    # What is predefined names the compiler's version and every instruction set it may use.
    target = subprocess.run(
        [compiler, *FLAGS, "-dM", "-E", "-x", "c++", os.devnull], capture_output=True, timeout=60, check=True
    ).stdout
    digest = hashlib.sha256(b"\0".join([SOURCE.read_bytes(), target, *map(str.encode, FLAGS)])).hexdigest()
    name = f"kernels-{digest[:16]}.so"
    try:
        path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orionlm" / name
        if not _is_whole(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
                _build(compiler, Path(scratch) / name).replace(path)
        return ctypes.CDLL(str(path))
    except (OSError, RuntimeError, subprocess.CalledProcessError):  # RuntimeError: who has no home
        with tempfile.TemporaryDirectory(prefix="orionlm-") as scratch:
            return ctypes.CDLL(str(_build(compiler, Path(scratch) / name)))


def _build(compiler: str, path: Path) -> Path:
    """With a digest of itself at its end: to load a library that was cut short kills the process."""
    subprocess.run([compiler, *FLAGS, str(SOURCE), "-o", str(path)], capture_output=True, timeout=300, check=True)
    made = path.read_bytes()
    path.write_bytes(made + hashlib.sha256(made).digest())
    return path


def _is_whole(path: Path) -> bool:
    try:
        made = path.read_bytes()
    except FileNotFoundError:
        return False
    return hashlib.sha256(made[:-32]).digest() == made[-32:]
