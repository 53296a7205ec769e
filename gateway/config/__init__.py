"""The configuration: its grammar, its sections, its messages."""
