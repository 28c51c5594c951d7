"""Documents and vectors in PostgreSQL: the only place with SQL."""
