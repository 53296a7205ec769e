"""Stage 8: what is kept and shown of a call that has ended."""
