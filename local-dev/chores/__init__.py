"""What `make test`, `make lint` and `make requirements` run."""
