"""Orion: builds language models when compute and text are the limit."""

__version__ = "0.1.0"

import os

# OpenMP threads that spin while they wait bring two-core training to a standstill when anything else wants a core:
# 20k tokens/s against none at all (docs/NOTES.md). It must be set before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
