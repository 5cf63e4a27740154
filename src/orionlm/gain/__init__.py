"""Run tables, and what a lever is worth in compute."""
