"""Asking the web: where a connection may go, how fast, how far."""
