"""What stands in, on one machine, for what the fleet talks to: the embedding endpoint, Membership, a site to index."""
