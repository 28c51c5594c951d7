"""A run of very many pages by simulation: what it takes of the orchestrator, and of who waits beside it."""
