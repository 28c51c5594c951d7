"""A service's own queue, and the outcomes of what was in it."""
