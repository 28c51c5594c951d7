"""Crawls: what is to be kept in a corpus, each time that it is looked at, and what becomes of every page."""
