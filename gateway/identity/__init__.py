"""Stage 1: who calls."""
