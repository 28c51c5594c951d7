"""Celery workers whose tasks are coroutines."""
