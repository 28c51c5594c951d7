"""Jobs: taken in, shown to their owner, moved by what workers report."""
