"""How a page of print becomes text: words where they stand, lines, columns, tables, paragraphs."""
