"""Turning what was fetched into Markdown, in processes of their own."""
