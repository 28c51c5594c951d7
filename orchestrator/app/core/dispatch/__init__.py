"""Dispatch: which job goes to which stage, when, and what becomes of the hand-out."""
