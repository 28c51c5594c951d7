"""What the services of CloudCIX ML share. Importing this package imports nothing else, and has no effect."""
