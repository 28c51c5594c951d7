"""Made-up sites that crawlers have trouble with, and what a right crawl of each comes to.

    python -m standins.sites --port 8096 --pages 200 --shape tree

A site is made from its options and a seed alone: two with the same are the same. `plan` says what there is, `graph` which page
links where, `expected` what becomes of each URL, and `server` serves it, counts who asked for what, and changes pages.
"""
