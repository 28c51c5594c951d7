"""Pages that a browser has to build. Apart from what runs in it: nothing here is imported before the first such page."""
