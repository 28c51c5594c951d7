"""What carries requests: one for programs that block, one for those that await. Nothing else of this package does I/O."""
