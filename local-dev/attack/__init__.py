"""The attacks that the fleet has to stand, each with a victim who is served meanwhile: `make attack`."""
