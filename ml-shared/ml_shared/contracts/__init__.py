"""What crosses between services, and between them and their callers."""
