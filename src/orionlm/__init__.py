"""Orion: builds language models when compute and text are the limit."""

__version__ = "0.1.0"
