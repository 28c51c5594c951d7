"""What runs beside the scraper where pages are rendered: browsers, and who hands them out."""
