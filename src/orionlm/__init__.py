"""Orion: builds language models when compute and text are the limit."""

__version__ = "0.1.0"

import os

# OpenMP threads that spin for long while they wait bring two-core training to a standstill when anything else wants a
# core; threads that never spin cost a fifth of the speed when nothing does (docs/NOTES.md). Read when torch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
