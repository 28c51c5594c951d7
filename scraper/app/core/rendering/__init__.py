"""Pages that a browser has to build. Most of it is imported when the first of them comes."""
