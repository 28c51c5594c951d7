"""The embedding endpoint's side of the fleet: what a model of bge-large-en-v1.5's shape can do, and what we take of it."""
