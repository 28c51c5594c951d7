"""The five stacks as they are deployed: their `.env` files, filled from `.env.example` and fresh secrets."""
