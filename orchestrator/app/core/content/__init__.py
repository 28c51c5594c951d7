"""Content: pages and chunks on their way between stages."""
