"""Whether a search puts the right passage first: `python -m bench.quality`."""
