"""How much of a page's text extraction finds, beside other extractors: `python -m bench.extraction`."""
