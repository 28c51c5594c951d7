"""Figures of a fleet of its own: `python -m bench`."""
