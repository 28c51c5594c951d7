"""What pages a site has, as it says itself: in its robots.txt, its sitemaps, its feeds, and the links of a page."""
