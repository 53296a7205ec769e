"""Stage 1: identifies the caller."""
