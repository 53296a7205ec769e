"""Tool servers: connections to them, their lists of tools, and the answers to calls of tools."""
