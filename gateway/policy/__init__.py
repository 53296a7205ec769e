"""Stage 5: what the policies say of a call."""
