"""The last traces of the native fleet, for whoever has no Docker: a bounded sink of spans, and a waterfall of each."""
