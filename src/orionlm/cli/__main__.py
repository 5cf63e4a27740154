"""`python -m orionlm.cli` is `orion`."""

from orionlm.cli import main

main()
