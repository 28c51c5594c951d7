"""What becomes of the passages that a search finds: an order in pages, and what an application shows of them."""
