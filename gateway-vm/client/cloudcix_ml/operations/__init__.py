"""What can be asked of the platform: each function is one operation, its signature the method's of both clients."""
