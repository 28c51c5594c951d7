"""The MCP server: what an agent can ask of the platform, bounded, with its sources, and with foreign text marked as such."""
