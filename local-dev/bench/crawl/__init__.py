"""A crawl beside Scrapy's, of the same made-up sites at the same pace."""
