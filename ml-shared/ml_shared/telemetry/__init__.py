"""What a process tells of itself: spans, metrics, log lines and profiles."""
