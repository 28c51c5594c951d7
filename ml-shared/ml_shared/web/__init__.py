"""What the fleet knows of the web outside."""
