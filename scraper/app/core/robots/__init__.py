"""What a site asks crawlers to do, and not to do (RFC 9309)."""
