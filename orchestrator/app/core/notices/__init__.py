"""Telling owners what became of their jobs and batches: events as they happen, and webhooks."""
