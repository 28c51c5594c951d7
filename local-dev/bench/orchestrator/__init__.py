"""How fast the orchestrator takes in, hands out and takes back jobs: `make bench-orchestrator`."""
