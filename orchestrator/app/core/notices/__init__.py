"""Being told: what happened to jobs and batches, as it happens."""
